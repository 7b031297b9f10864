//! Kernel modules, loaded and removed.

use anyhow::{Context, Result};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Whoever loads and removes modules: the kernel, or a test.
pub(crate) trait Modules {
    /// Loads the module of that file, as a policy of that number.
    fn load(&self, path: &Path, number: i32) -> Result<()>;
    /// Removes a module.
    fn remove(&self, name: &str) -> Result<()>;
}

/// The kernel that runs.
pub(crate) struct Kernel;

impl Modules for Kernel {
    fn load(&self, path: &Path, number: i32) -> Result<()> {
        let parameters = CString::new(format!("id={number}"))?;
        let file = File::open(path).with_context(|| path.display().to_string())?;
        // SAFETY: The descriptor is open, and the parameters are a string.
        let done = unsafe {
            libc::syscall(
                libc::SYS_finit_module,
                file.as_raw_fd(),
                parameters.as_ptr(),
                0,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error()).with_context(|| {
                format!(
                    "{} cannot be loaded (the kernel log says more)",
                    path.display()
                )
            });
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let text = CString::new(name)?;
        // SAFETY: The name is a string.
        let done =
            unsafe { libc::syscall(libc::SYS_delete_module, text.as_ptr(), libc::O_NONBLOCK) };
        if done != 0 {
            return Err(io::Error::last_os_error())
                .with_context(|| format!("module {name} cannot be removed"));
        }
        Ok(())
    }
}
