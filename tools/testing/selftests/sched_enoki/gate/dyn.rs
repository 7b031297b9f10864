// SPDX-License-Identifier: GPL-2.0
//@ expect: a_pointer by a panic
//! Indexes an array in a function that is called through a table.

use enoki::prelude::*;

trait Heuristic: Sync {
    fn score(&self, weight: usize) -> u64;
}

struct Table([u64; 4]);
struct Flat;

impl Heuristic for Table {
    fn score(&self, weight: usize) -> u64 {
        self.0[weight]
    }
}

impl Heuristic for Flat {
    fn score(&self, _weight: usize) -> u64 {
        1
    }
}

static BY_KIND: [&dyn Heuristic; 2] = [&Table([1, 2, 3, 4]), &Flat];

fn wake(_policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    let heuristic = BY_KIND.get(usize::from(task.info().is_kthread()));
    let score = heuristic.map_or(0, |h| h.score(task.info().weight() as usize));
    if score > 1 {
        ctx.resched(task.cpu());
    }
}

include!("common/policy.rs");
