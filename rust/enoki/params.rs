// SPDX-License-Identifier: GPL-2.0

//! The parameters of a policy's module, for `/sys/kernel/sched_enoki/NAME/parameters`.
//!
//! A policy that runs again elsewhere does the same only with the same parameters, so a recording
//! has them.

use crate::sys::c_char;
use core::{
    fmt::{self, Write},
    marker::PhantomData,
    slice,
};

/// A module that has parameters; made by
/// [`module_enoki_scheduler!`](crate::module_enoki_scheduler).
#[doc(hidden)]
pub trait Parameters {
    /// Writes each as `NAME=VALUE`, a line.
    fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

struct Shown<P>(PhantomData<P>);

impl<P: Parameters> fmt::Display for Shown<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        P::show(f)
    }
}

/// Text that is cut off where there is no more room.
struct Cursor<'b> {
    room: &'b mut [u8],
    written: usize,
}

impl fmt::Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.room.iter_mut().skip(self.written);
        for (to, from) in room.zip(text.bytes()) {
            *to = from;
            self.written = self.written.wrapping_add(1);
        }
        Ok(())
    }
}

/// `parameters` of the table.
///
/// # Safety
///
/// `buffer` must have `size` bytes, which are initialized, and which nobody else uses meanwhile.
pub(crate) unsafe extern "C" fn parameters<P: Parameters>(buffer: *mut c_char, size: u32) -> u32 {
    let mut to = Cursor {
        // SAFETY: By the requirements of this function.
        room: unsafe { slice::from_raw_parts_mut(buffer.cast(), size as usize) },
        written: 0,
    };
    // It does not fail, as `Cursor` does not.
    let _ = write!(to, "{}", Shown::<P>(PhantomData));
    to.written as u32
}
