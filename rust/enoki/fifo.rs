// SPDX-License-Identifier: GPL-2.0

//! A first-in, first-out queue of tasks.

use crate::{
    queue::Node,
    sys,
    token::{Schedulable, Task, TaskName},
};
use core::marker::PhantomData;

/// A queue of tasks in the order of their arrival, as a doubly linked list.
///
/// Every operation but [`iter()`](Self::iter) takes constant time, and none allocates. Tokens that
/// are still in a queue when it is dropped go back to the class.
///
/// # Invariants
///
/// The nodes that can be reached from `head` by `right` are those that can be reached from `tail`
/// by `left`; there are `len` of them, and their `home` is `id`, which no other container has.
pub struct FifoQueue<T> {
    id: u64,
    head: Option<Node<T>>,
    tail: Option<Node<T>>,
    len: usize,
}

impl<T> FifoQueue<T> {
    /// An empty queue.
    #[expect(
        clippy::new_without_default,
        reason = "each one has a number of its own"
    )]
    pub fn new() -> FifoQueue<T> {
        FifoQueue {
            id: sys::unique_id(),
            head: None,
            tail: None,
            len: 0,
        }
    }

    /// The number of tasks in the queue.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no task in the queue.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Puts a task at the end.
    #[inline]
    pub fn push_back(&mut self, token: Schedulable<T>) {
        let node = token.into_node(self.id);
        node.links().left.set(self.tail);
        node.links().right.set(None);
        match self.tail {
            Some(tail) => tail.links().right.set(Some(node)),
            None => self.head = Some(node),
        }
        self.tail = Some(node);
        self.len = self.len.wrapping_add(1);
    }

    /// Puts a task at the front.
    #[inline]
    pub fn push_front(&mut self, token: Schedulable<T>) {
        let node = token.into_node(self.id);
        node.links().left.set(None);
        node.links().right.set(self.head);
        match self.head {
            Some(head) => head.links().left.set(Some(node)),
            None => self.tail = Some(node),
        }
        self.head = Some(node);
        self.len = self.len.wrapping_add(1);
    }

    /// Takes the task at the front.
    #[inline]
    pub fn pop_front(&mut self) -> Option<Schedulable<T>> {
        self.head.map(|node| self.unlink(node))
    }

    /// The task at the front.
    #[inline]
    pub fn front(&self) -> Option<&Task<T>> {
        self.iter().next()
    }

    /// Takes the task of that name, if it is in this queue.
    #[inline]
    pub fn remove(&mut self, name: &TaskName<'_, T>) -> Option<Schedulable<T>> {
        name.in_container(self.id).map(|node| self.unlink(node))
    }

    /// Goes through the tasks, from the front.
    #[inline]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter {
            next: self.head,
            _queue: PhantomData,
        }
    }

    #[inline]
    fn unlink(&mut self, node: Node<T>) -> Schedulable<T> {
        let (left, right) = (node.links().left.get(), node.links().right.get());
        match left {
            Some(left) => left.links().right.set(right),
            None => self.head = right,
        }
        match right {
            Some(right) => right.links().left.set(left),
            None => self.tail = left,
        }
        self.len = self.len.wrapping_sub(1);
        // SAFETY: The node is in this queue, whose `id` it had, and was just unlinked.
        unsafe { Schedulable::from_node(node) }
    }
}

impl<T> Drop for FifoQueue<T> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}

impl<'a, T> IntoIterator for &'a FifoQueue<T> {
    type Item = &'a Task<T>;
    type IntoIter = Iter<'a, T>;

    #[inline]
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Goes through the tasks of a [`FifoQueue`].
pub struct Iter<'a, T> {
    next: Option<Node<T>>,
    _queue: PhantomData<&'a FifoQueue<T>>,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a Task<T>;

    #[inline]
    fn next(&mut self) -> Option<&'a Task<T>> {
        let node = self.next?;
        self.next = node.links().right.get();
        // SAFETY: The queue is borrowed for `'a`.
        Some(unsafe { node.task() })
    }
}
