"""What a person must look at or follow up."""
