// SPDX-License-Identifier: GPL-2.0

//! Time, as policies count it.

use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A point in time or a length of time, in nanoseconds.
///
/// Arithmetic saturates, so that no sum or difference can panic: a policy's operations must not.
///
/// # Examples
///
/// ```
/// use enoki::prelude::*;
///
/// assert_eq!(Ns::from_ms(3) + Ns::from_us(5), Ns(3_005_000));
/// assert_eq!(Ns(1) - Ns(2), Ns::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Ns(pub u64);

impl Ns {
    /// No time at all.
    pub const ZERO: Ns = Ns(0);

    /// So many microseconds.
    #[inline]
    pub const fn from_us(us: u64) -> Ns {
        Ns(us.saturating_mul(1_000))
    }

    /// So many milliseconds.
    #[inline]
    pub const fn from_ms(ms: u64) -> Ns {
        Ns(ms.saturating_mul(1_000_000))
    }
}

impl Add for Ns {
    type Output = Ns;

    #[inline]
    fn add(self, other: Ns) -> Ns {
        Ns(self.0.saturating_add(other.0))
    }
}

impl Sub for Ns {
    type Output = Ns;

    #[inline]
    fn sub(self, other: Ns) -> Ns {
        Ns(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Ns {
    #[inline]
    fn add_assign(&mut self, other: Ns) {
        *self = *self + other;
    }
}

impl SubAssign for Ns {
    #[inline]
    fn sub_assign(&mut self, other: Ns) {
        *self = *self - other;
    }
}
