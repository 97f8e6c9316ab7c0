"""The tables of the file: their keys, and what is made of them for those who use them."""
