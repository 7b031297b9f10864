// SPDX-License-Identifier: GPL-2.0
//@ expect: "lifetime may not live long enough"
//! What was claimed for one CPU is no answer for another.

use enoki::prelude::*;

pub fn pick<'a, 'b>(
    _here: &mut Ctx<'a>,
    there: &mut Ctx<'b>,
    token: Schedulable<()>,
) -> Option<Runnable<'a, ()>> {
    there.cpu().claim(token).ok()
}
