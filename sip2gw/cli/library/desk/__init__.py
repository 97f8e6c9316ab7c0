"""Commands about what a person must look at or follow up."""
