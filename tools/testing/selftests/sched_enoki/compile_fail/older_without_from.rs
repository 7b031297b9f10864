// SPDX-License-Identifier: GPL-2.0
//@ expect: E0277
//! A form that cannot be made from the other one, and the other way round.

use enoki::prelude::*;

mod v1 {
    use enoki::prelude::*;

    transfer! {
        /// As it was.
        pub struct Known("known", 1) {
            /// Something.
            pub picks: u64,
        }
    }
}

transfer! {
    /// As it is.
    pub struct Known("known", 2) {
        /// Something else.
        pub waits: u64,
    }
}

impl From<v1::Known> for Known {
    fn from(_old: v1::Known) -> Known {
        Known { waits: 0 }
    }
}

/// There is no way back.
pub fn exchange(new: &mut Known, old: &mut v1::Known) {
    new.exchange(old);
}
