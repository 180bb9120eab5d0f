//! The C library's allocator, which librdkafka uses too.

/// What the allocator gives back to the system, in bytes. What it gives back it takes again, page by page.
#[derive(Clone, Copy, Debug)]
pub struct KeptMemory {
    /// Larger allocations are mapped each on its own, and given back at once. At most 32 MiB, glibc's limit.
    pub large_bytes: i32,
    /// So much that is free stays at the top of a heap.
    pub kept_bytes: i32,
}

impl KeptMemory {
    /// Sets it for the whole process.
    #[allow(unsafe_code)] // mallopt is C.
    pub fn apply(self) {
        // SAFETY: it takes two integers and sets a parameter of the allocator; no other thread minds.
        let set = unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, self.large_bytes)
                & libc::mallopt(libc::M_TRIM_THRESHOLD, self.kept_bytes)
        };
        if set == 0 {
            tracing::warn!(
                "the allocator's thresholds could not be set; memory may stay in use, or move too often"
            );
        }
    }
}
