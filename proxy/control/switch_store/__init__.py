"""Where switches are kept: `base` says what a store does, and each module beside it is one."""
