// SPDX-License-Identifier: GPL-2.0

//! KUnit tests: what differs from user space. The rest is tested there, by `ci/host-tests`.

use crate::{
    ctx::Ctx,
    prelude::*,
    sys::{self, RawCtx, RawTask},
};
use kernel::interrupt::local_interrupt_disable;

/// Memory of a task that the test has, as the class would.
struct TestTask(sys::Box<Task<u64>>);

impl TestTask {
    fn new(state: u64) -> Result<TestTask> {
        Ok(TestTask(sys::boxed(Task::new(state))?))
    }

    fn grant(&mut self) -> Schedulable<u64> {
        let raw: *mut Task<u64> = &mut *self.0;
        // SAFETY: It is alive, and the tests grant it only when they have its token.
        unsafe { Schedulable::grant(raw.cast::<RawTask>()) }
    }
}

/// Gives a token back and returns its state.
fn give_back(token: Schedulable<u64>) -> u64 {
    let state = *token.state();
    let _ = token.into_raw();
    state
}

#[kernel::prelude::kunit_tests(rust_enoki)]
mod tests {
    use super::*;

    #[test]
    fn queues_keep_order() -> Result {
        let mut fifo = FifoQueue::new();
        let mut tree = TreeQueue::new();
        let mut tasks = [TestTask::new(0)?, TestTask::new(1)?, TestTask::new(2)?];

        for task in &mut tasks {
            fifo.push_back(task.grant());
        }
        for key in [7, 5, 7] {
            let task = fifo.pop_front().ok_or(EINVAL)?;
            tree.insert(key, task);
        }
        assert!(fifo.is_empty());
        assert_eq!(tree.first_key(), Some(5));
        for state in [1, 0, 2] {
            let (_, task) = tree.pop_first().ok_or(EINVAL)?;
            assert_eq!(give_back(task), state);
        }
        assert!(tree.is_empty());
        Ok(())
    }

    #[test]
    fn each_cpu_has_a_lock() -> Result {
        let machine = Machine::new();
        let map = CpuMap::new_with(&machine, |cpu| new_lock!(cpu))?;
        let irq = local_interrupt_disable();
        let raw = RawCtx::default();
        // SAFETY: `raw` outlives it, CPU 0 is possible, interrupts are off, and no service is
        // asked for.
        let mut ctx = unsafe { Ctx::from_raw(&raw) };
        let mut cpus = 0;
        for cpu in ctx.cpus() {
            // Lockdep would see it if two were held.
            assert_eq!(*ctx.lock(&map[cpu]), cpu);
            cpus += 1;
        }
        drop(irq);
        assert_eq!(cpus, kernel::cpumask::possible().weight());
        assert!(CpuId::new(machine.nr_cpu_ids()).is_none());
        Ok(())
    }

    #[test]
    fn what_is_claimed_is_here() -> Result {
        let raw = RawCtx::default();
        // SAFETY: `raw` outlives it, CPU 0 is possible, and no lock or service is asked for.
        let ctx: Ctx<'_> = unsafe { Ctx::from_raw(&raw) };
        let mut task = TestTask::new(3)?;
        let runnable = ctx.cpu().claim(task.grant()).map_err(|_| EINVAL)?;
        assert_eq!(give_back(runnable.slice(Ns(5)).into_token()), 3);
        Ok(())
    }
}
