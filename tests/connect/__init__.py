"""Setting helpdesks up, against doubles of their set-up APIs."""
