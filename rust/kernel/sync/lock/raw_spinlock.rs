// SPDX-License-Identifier: GPL-2.0

//! A kernel raw spinlock.
//!
//! This module allows Rust code to use the kernel's `raw_spinlock_t`.

use super::*;

/// Creates a [`RawSpinLock`] initialiser with the given name and a newly-created lock class.
///
/// It uses the name if one is given, otherwise it generates one based on the file name and line
/// number.
#[macro_export]
macro_rules! new_raw_spinlock {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::RawSpinLock::new(
            $inner, $crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}
pub use new_raw_spinlock;

/// A raw spinlock.
///
/// Exposes the kernel's [`raw_spinlock_t`]. Unlike [`SpinLock`], which sleeps on `PREEMPT_RT`, it
/// spins in every configuration. It is for the few places that must not sleep even there: code
/// that runs with interrupts or preemption hard disabled, such as under a scheduler run queue's
/// lock. Whoever holds it must neither sleep nor take a [`SpinLock`], nor allocate memory, not
/// even with `GFP_ATOMIC`.
///
/// Locking does not change the interrupt state. A lock that is also taken in hard interrupt
/// context must only be taken with interrupts disabled.
///
/// Instances of [`RawSpinLock`] need a lock class and to be pinned. The recommended way to create
/// such instances is with the [`pin_init`](pin_init::pin_init) and [`new_raw_spinlock`] macros.
///
/// # Examples
///
/// ```
/// use kernel::sync::{new_raw_spinlock, RawSpinLock};
///
/// #[pin_data]
/// struct Example {
///     #[pin]
///     count: RawSpinLock<u32>,
/// }
///
/// impl Example {
///     fn new() -> impl PinInit<Self> {
///         pin_init!(Self {
///             count <- new_raw_spinlock!(10),
///         })
///     }
/// }
///
/// let e = KBox::pin_init(Example::new(), GFP_KERNEL)?;
/// *e.count.lock() += 1;
/// assert_eq!(*e.count.lock(), 11);
///
/// let guard = e.count.lock();
/// assert!(e.count.try_lock().is_none());
/// drop(guard);
/// assert!(e.count.try_lock().is_some());
/// # Ok::<(), Error>(())
/// ```
///
/// [`raw_spinlock_t`]: srctree/include/linux/spinlock.h
/// [`SpinLock`]: super::spinlock::SpinLock
pub type RawSpinLock<T> = Lock<T, RawSpinLockBackend>;

/// A kernel `raw_spinlock_t` lock backend.
pub struct RawSpinLockBackend;

/// A [`Guard`] acquired from locking a [`RawSpinLock`].
///
/// This is simply a type alias for a [`Guard`] returned from locking a [`RawSpinLock`]. It will
/// unlock the [`RawSpinLock`] upon being dropped.
pub type RawSpinLockGuard<'a, T> = Guard<'a, T, RawSpinLockBackend>;

// SAFETY: The underlying kernel `raw_spinlock_t` object ensures mutual exclusion. `relock` uses
// the default implementation that always calls the same locking method.
unsafe impl Backend for RawSpinLockBackend {
    type State = bindings::raw_spinlock_t;
    type GuardState = ();

    #[inline]
    unsafe fn init(
        ptr: *mut Self::State,
        name: *const crate::ffi::c_char,
        key: *mut bindings::lock_class_key,
    ) {
        // SAFETY: The safety requirements ensure that `ptr` is valid for writes, and `name` and
        // `key` are valid for read indefinitely.
        unsafe { bindings::raw_spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The safety requirements of this function ensure that `ptr` points to valid
        // memory, and that it has been initialised before.
        unsafe { bindings::raw_spin_lock(ptr) }
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, _guard_state: &Self::GuardState) {
        // SAFETY: The safety requirements of this function ensure that `ptr` is valid and that the
        // caller is the owner of the spinlock.
        unsafe { bindings::raw_spin_unlock(ptr) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: The `ptr` pointer is guaranteed to be valid and initialized before use.
        let result = unsafe { bindings::raw_spin_trylock(ptr) };

        if result != 0 {
            Some(())
        } else {
            None
        }
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // Without lockdep the helper does nothing, but is called out of line all the same.
        if cfg!(CONFIG_LOCKDEP) {
            // SAFETY: The `ptr` pointer is guaranteed to be valid and initialized before use.
            unsafe { bindings::raw_spin_assert_is_held(ptr) }
        }
    }
}
