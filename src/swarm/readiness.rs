//! A descriptor that can be waited for with `poll`, `select` or epoll: an eventfd on Linux and Android, a
//! pipe on other Unixes, none on Windows.

use std::io;

#[cfg(unix)]
pub(crate) struct Readiness {
    reader: std::os::fd::OwnedFd,
    /// The same descriptor as `reader` where it is an eventfd.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    writer: std::os::fd::OwnedFd,
    set: std::sync::atomic::AtomicBool,
}

#[cfg(unix)]
impl Readiness {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn new() -> io::Result<Self> {
        use std::os::fd::FromRawFd;
        // SAFETY: plain system call; a descriptor that it returns is ours alone.
        let reader = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            std::os::fd::OwnedFd::from_raw_fd(fd)
        };
        Ok(Self { reader, set: false.into() })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn new() -> io::Result<Self> {
        use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
        let mut fds = [0; 2];
        // SAFETY: `fds` has room for two descriptors, which are ours alone.
        let (reader, writer) = unsafe {
            if libc::pipe(fds.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
        };
        for fd in [&reader, &writer] {
            // SAFETY: a valid descriptor.
            unsafe {
                libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
                libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
            }
        }
        Ok(Self { reader, writer, set: false.into() })
    }

    pub fn descriptor(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.reader.as_raw_fd()
    }

    fn writer(&self) -> i32 {
        use std::os::fd::AsRawFd;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return self.reader.as_raw_fd();
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return self.writer.as_raw_fd();
    }

    /// Makes it readable. The caller serialises `set` and `clear` (the queue's lock).
    pub fn set(&self) {
        if !self.set.swap(true, std::sync::atomic::Ordering::Relaxed) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight readable bytes. It cannot block: nothing was written since the last clear.
            unsafe { libc::write(self.writer(), one.as_ptr().cast(), one.len()) };
        }
    }

    pub fn clear(&self) {
        if self.set.swap(false, std::sync::atomic::Ordering::Relaxed) {
            let mut bytes = [0u8; 8];
            // SAFETY: eight writable bytes; non-blocking.
            unsafe { libc::read(self.descriptor(), bytes.as_mut_ptr().cast(), bytes.len()) };
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Readiness;

#[cfg(not(unix))]
impl Readiness {
    pub fn new() -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there is no descriptor to wait for on this system"))
    }

    pub fn descriptor(&self) -> i32 {
        -1
    }

    pub fn set(&self) {}

    pub fn clear(&self) {}
}
