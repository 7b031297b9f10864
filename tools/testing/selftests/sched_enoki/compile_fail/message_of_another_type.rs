// SPDX-License-Identifier: GPL-2.0
//@ expect: E0308
//! A client gets messages of the type that was agreed with it.

use enoki::prelude::*;

hint! {
    /// What it understands.
    pub struct Right("right", 1) {
        /// So many.
        pub n: u64,
    }
}

hint! {
    /// What it does not.
    pub struct Wrong("wrong", 1) {
        /// So many.
        pub n: u64,
    }
}

pub fn op(ctx: &Ctx<'_>, queue: QueueId<Right>) {
    let _ = ctx.send(queue, &Wrong { n: 1 });
}
