// SPDX-License-Identifier: GPL-2.0

//! CPUs: their numbers, where they stand, and something kept for each.

use crate::sys;
use core::{
    ops::{Index, IndexMut},
    slice, //
};

/// The number of a CPU.
///
/// # Invariants
///
/// The number is less than `nr_cpu_ids`, which does not change once the system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CpuId(u32);

impl CpuId {
    /// CPU 0, which every machine has.
    pub const FIRST: CpuId = CpuId(0);

    /// The CPU of that number, or [`None`] if there cannot be such a CPU.
    #[inline]
    pub fn new(id: u32) -> Option<CpuId> {
        // INVARIANT: Checked here.
        (id < sys::nr_cpu_ids()).then_some(CpuId(id))
    }

    /// Takes over a CPU number from the class.
    ///
    /// # Safety
    ///
    /// `id` must be the number of a possible CPU.
    #[inline]
    pub(crate) unsafe fn from_raw(id: i32) -> CpuId {
        debug_assert!((id as u32) < sys::nr_cpu_ids());
        // INVARIANT: The numbers of possible CPUs are less than `nr_cpu_ids()`.
        CpuId(id as u32)
    }

    /// The CPU's number.
    #[inline]
    pub fn as_u32(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) fn as_raw(self) -> i32 {
        self.0 as i32
    }
}

/// An iterator over the possible CPUs, in ascending order.
///
/// Made by [`Machine::cpus()`] and [`Ctx::cpus()`](crate::ctx::Ctx::cpus). It borrows nothing, so
/// locks can be taken while it is used.
#[derive(Clone, Debug)]
pub struct Cpus {
    next: u32,
}

impl Cpus {
    #[inline]
    pub(crate) fn new() -> Cpus {
        Cpus { next: 0 }
    }
}

impl Iterator for Cpus {
    type Item = CpuId;

    #[inline]
    fn next(&mut self) -> Option<CpuId> {
        while let Some(cpu) = CpuId::new(self.next) {
            self.next = cpu.0.wrapping_add(1);
            if sys::cpu_possible(cpu) {
                return Some(cpu);
            }
        }
        None
    }
}

/// Where a CPU stands. Each group is named by the lowest number of a CPU in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The core that the CPU is a hardware thread of.
    pub core: CpuId,
    /// The CPUs that it shares its last-level cache with.
    pub llc: CpuId,
    /// Its NUMA node's number; not a CPU number.
    pub node: i32,
}

/// What a policy can learn of the machine when it is loaded.
///
/// [`Scheduler::new()`](crate::sched::Scheduler::new) gets one.
#[derive(Debug)]
pub struct Machine(());

impl Machine {
    #[inline]
    pub(crate) fn new() -> Machine {
        Machine(())
    }

    /// One more than the highest number a CPU may have.
    #[inline]
    pub fn nr_cpu_ids(&self) -> u32 {
        sys::nr_cpu_ids()
    }

    /// The CPUs that may ever come online.
    #[inline]
    pub fn cpus(&self) -> Cpus {
        Cpus::new()
    }

    /// Where `cpu` stands.
    #[inline]
    pub fn topology(&self, cpu: CpuId) -> Topology {
        sys::topology(cpu)
    }
}

/// One `T` for each CPU, indexed by [`CpuId`].
///
/// Indexing cannot fail: there is an element for every number that a [`CpuId`] can have.
///
/// # Invariants
///
/// `entries` has `nr_cpu_ids` elements.
pub struct CpuMap<T> {
    entries: sys::Array<T>,
}

impl<T> CpuMap<T> {
    /// Makes a map of what `make` returns for each CPU. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when there is no memory for the map; else whatever `make` fails with.
    pub fn new_with(
        machine: &Machine,
        mut make: impl FnMut(CpuId) -> sys::Result<T>,
    ) -> sys::Result<CpuMap<T>> {
        // INVARIANT: `sys::array()` makes the number of elements that it is asked for.
        Ok(CpuMap {
            entries: sys::array(machine.nr_cpu_ids(), |i| make(CpuId(i)))?,
        })
    }

    /// What it has for each CPU, in the order of their numbers, to change it.
    pub fn iter_mut(&mut self) -> slice::IterMut<'_, T> {
        self.entries.iter_mut()
    }
}

impl<T> Index<CpuId> for CpuMap<T> {
    type Output = T;

    #[inline]
    fn index(&self, cpu: CpuId) -> &T {
        // SAFETY: By the invariants of `CpuId` and of `CpuMap`, `cpu` is in bounds.
        unsafe { self.entries.get_unchecked(cpu.0 as usize) }
    }
}

impl<T> IndexMut<CpuId> for CpuMap<T> {
    #[inline]
    fn index_mut(&mut self, cpu: CpuId) -> &mut T {
        // SAFETY: By the invariants of `CpuId` and of `CpuMap`, `cpu` is in bounds.
        unsafe { self.entries.get_unchecked_mut(cpu.0 as usize) }
    }
}
