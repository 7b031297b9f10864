// SPDX-License-Identifier: GPL-2.0

//! What the containers have in common.
//!
//! A container holds tokens by links in the tasks' own memory, which exists as long as the task
//! is attached. So it never allocates, and everything but going through it is done without a
//! loop over its tasks.

use crate::token::Task;
use core::{cell::Cell, ptr::NonNull};

/// The links by which a container holds a task. [`FifoQueue`](crate::fifo::FifoQueue) has the
/// previous task in `left` and the next one in `right`.
///
/// Only the container that owns the task uses them.
pub(crate) struct Links<T> {
    pub(crate) left: Cell<Option<Node<T>>>,
    pub(crate) right: Cell<Option<Node<T>>>,
    pub(crate) parent: Cell<Option<Node<T>>>,
    pub(crate) key: Cell<u64>,
    pub(crate) priority: Cell<u64>,
}

impl<T> Links<T> {
    pub(crate) const fn new() -> Links<T> {
        Links {
            left: Cell::new(None),
            right: Cell::new(None),
            parent: Cell::new(None),
            key: Cell::new(0),
            priority: Cell::new(0),
        }
    }
}

/// A task in a container.
///
/// # Invariants
///
/// The task is owned by a container, and so stays allocated; whoever has the node has that
/// container borrowed, or is part of it.
pub(crate) struct Node<T>(NonNull<Task<T>>);

// SAFETY: A node is part of a container of tokens, and tokens are `Send` if `T` is.
unsafe impl<T: Send> Send for Node<T> {}

impl<T> Clone for Node<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Node<T> {}

impl<T> PartialEq for Node<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Node<T> {
    /// # Safety
    ///
    /// `task` must be owned by a container that the caller has for itself.
    #[inline]
    pub(crate) unsafe fn new(task: NonNull<Task<T>>) -> Node<T> {
        // INVARIANT: By the requirements of this function.
        Node(task)
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> NonNull<Task<T>> {
        self.0
    }

    /// The links of this node.
    #[inline]
    pub(crate) fn links(&self) -> &Links<T> {
        // SAFETY: By the type invariants the task is alive, and only its container uses the links.
        unsafe { &(*self.0.as_ptr()).links }
    }

    /// The task, for as long as the container is borrowed.
    ///
    /// # Safety
    ///
    /// The container must be borrowed for `'a`.
    #[inline]
    pub(crate) unsafe fn task<'a>(self) -> &'a Task<T> {
        // SAFETY: While the container is borrowed the task stays in it and is not changed.
        unsafe { &*self.0.as_ptr() }
    }
}
