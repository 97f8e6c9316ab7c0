"""The PIN 2468 as library systems hash it; made with the system's own crypt, not with ours."""

BCRYPT_2468 = "$2b$04$abcdefghijklmnopqrstuu0Xl5c7rFogZTvAc0MivtTzvH/t88zx6"
KOHA_2468 = BCRYPT_2468.replace("$2b$", "$2a$")
"""What Koha has in `borrowers.password`."""
EVERGREEN_2468 = "$evergreen$2a$04$ABCDEFGHIJKLMNOPQRSTUOBvYP/3JrvhJrA0d9x8qjEKg9ytJaA9S"
"""What Evergreen has in `actor.passwd`, of a digest of salt and PIN, behind our mark."""
LONG_PIN = "é" * 40
BCRYPT_LONG = "$2b$04$abcdefghijklmnopqrstuuKiIlCeXB6chNXkLyAo8C7XcLPzh6zUe"
"""Of `LONG_PIN`, which has 80 bytes: bcrypt looks at 72."""
