// SPDX-License-Identifier: GPL-2.0

//! A policy is replaced by another one of the same code, as the class does it.

use super::*;
use std::mem::{self, MaybeUninit};

impl<S: Scheduler> Sim<S> {
    /// Replaces the policy: by one that goes on with what it knows, or, if it hands nothing over,
    /// by one that begins with nothing.
    pub fn upgrade(&mut self) {
        let mut new = ptr::null_mut();
        // SAFETY: The simulator keeps the contract of the ops table.
        let made = unsafe { self.ops.new_sched.unwrap()(&mut new) };
        assert_eq!(made, 0, "the policy cannot be made a second time");
        if self.ops.reregister_init.is_some() {
            let refused = self.random(4) == 0;
            self.hand_over(new, refused);
        } else {
            self.begin_anew(new);
        }
        (0..NR_CPUS).for_each(|cpu| self.count(cpu));
    }

    /// With all that it knows. If it is `refused` everything is as before.
    fn hand_over(&mut self, new: *mut c_void, mut refused: bool) {
        let cx = self.cx(0);
        let (prep, init) = (
            self.ops.reregister_prep.unwrap(),
            self.ops.reregister_init.unwrap(),
        );
        let words = self.ops.state.size as usize / mem::size_of::<u64>();
        // SAFETY: The simulator keeps the contract of the ops table: what the two return has so
        // many words, and may be exchanged.
        unsafe {
            let (old, new_state) = (prep(self.sched_ptr(), &cx), prep(new, &cx));
            let (old, new_state) = (old.cast::<MaybeUninit<u64>>(), new_state.cast());
            ptr::swap_nonoverlapping(old, new_state, words);
            refused |= init(new, &cx) != 0;
            if refused {
                ptr::swap_nonoverlapping(old, new_state, words);
                init(self.sched_ptr(), &cx);
            }
        }
        let gone = if refused {
            new
        } else {
            mem::replace(&mut self.sched, new.cast()).cast()
        };
        // SAFETY: Nobody uses it any more.
        unsafe { self.ops.free_sched.unwrap()(gone) };
    }

    /// With nothing: it gets a new token of each task.
    fn begin_anew(&mut self, new: *mut c_void) {
        let old = mem::replace(&mut self.sched, new.cast());
        let mut tokens = Vec::new();
        with(|world| world.timers.fill(None));
        for slot in 0..with(|world| world.tasks.len()) {
            let (state, info) = with(|world| (world.tasks[slot].state, world.tasks[slot].info));
            if state == State::Dead {
                continue;
            }
            let mut raw = ptr::null_mut();
            let made = call!(self, init_task, &info, &mut raw);
            assert_eq!(made, 0, "the policy refused a task that it had");
            with(|world| {
                let task = &mut world.tasks[slot];
                task.gen += 1;
                // SAFETY: Both are the class's, or their policy is not called any more.
                unsafe { (*raw).cpu = (*task.raw).cpu };
                tokens.push(mem::replace(&mut task.raw, raw));
            });
            self.announce(slot, state);
        }
        // What it drops now has passed already.
        with(|world| world.retiring = true);
        // SAFETY: Nobody uses the policy or its tokens any more.
        unsafe {
            self.ops.free_sched.unwrap()(old.cast());
            tokens
                .into_iter()
                .for_each(|token| self.ops.free_task.unwrap()(token));
        }
        with(|world| world.retiring = false);
        for queue in with(|world| world.clients.keys().copied().collect::<Vec<_>>()) {
            let cx = self.cx(0);
            if call!(self, register_queue, &cx, queue, sys::QUEUE_HINTS) != 0 {
                with(|world| world.clients.remove(&queue));
                continue;
            }
            call!(self, register_queue, &cx, queue, sys::QUEUE_MESSAGES);
        }
        for cpu in 0..NR_CPUS {
            self.pick(cpu);
        }
    }

    /// Gives the policy the token of a task that it does not know, if that is ready to run.
    fn announce(&mut self, slot: usize, state: State) {
        let (State::Queued(cpu) | State::Running(cpu) | State::Dropped(cpu)) = state else {
            return;
        };
        with(|world| world.account(cpu));
        if let State::Running(_) = state {
            with(|world| world.running[cpu as usize] = None);
        }
        let task = with(|world| world.fill(slot, cpu, true));
        let cx = self.cx(cpu);
        call!(self, task_new, &cx, task);
    }
}
