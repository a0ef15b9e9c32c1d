"""What the library costs and what it gives, measured; see README.md beside this file."""
