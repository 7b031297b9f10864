// SPDX-License-Identifier: GPL-2.0
//@ expect: E0277
//! A context stays on its CPU.

use enoki::prelude::*;

fn is_send<T: Send>(_: T) {}

pub fn op(ctx: Ctx<'_>) {
    is_send(ctx);
}
