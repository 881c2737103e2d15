"""A node: the processes of one `abyssal serve`. The control process starts and watches the others."""
