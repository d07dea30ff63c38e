"""What an image name means here: which real program a pod runs, with which files, and when it is ready."""
