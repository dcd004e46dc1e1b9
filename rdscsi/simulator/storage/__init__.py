"""The storage model: pool, files, disks, subvolumes, as records in a small database over real files on the host."""
