"""What the scripts of ci/ do inside the build root: compose, build and boot kernels."""
