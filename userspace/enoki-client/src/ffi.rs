//! The same for C, and through it for other languages: see `include/enoki_client.h`.
//!
//! What a hint is like is not known when this is compiled, so that it is bytes here.

use crate::{owner::Forked, ring, sys, Layout, MAX_SIZE};
use std::{
    ffi::{c_char, c_int, c_uint, c_void, CStr},
    io,
    panic::{catch_unwind, AssertUnwindSafe},
    ptr, slice,
    sync::Arc,
};

/// `struct enoki_client`.
pub struct RawClient {
    device: Arc<sys::Device>,
    hint_size: usize,
    hints: Option<sys::Half<ring::Writer<sys::Mapping>>>,
    message_size: usize,
    messages: Option<sys::Half<ring::Reader<sys::Mapping>>>,
}

/// A C function's result: what it is, or a negative errno.
fn result(done: impl FnOnce() -> io::Result<c_int>) -> c_int {
    match catch_unwind(AssertUnwindSafe(done)) {
        Ok(Ok(value)) => value,
        Ok(Err(err)) => -errno_of(&err),
        Err(_) => -libc::EINVAL,
    }
}

/// The errno that says the same.
fn errno_of(err: &io::Error) -> c_int {
    if err.get_ref().is_some_and(|inner| inner.is::<Forked>()) {
        return libc::ECHILD;
    }
    err.raw_os_error().unwrap_or(libc::EINVAL)
}

fn errno(errno: c_int) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// # Safety
///
/// `text` must be NULL or a string that ends with NUL, valid for `'a`.
unsafe fn text<'a>(text: *const c_char) -> io::Result<&'a str> {
    if text.is_null() {
        return Err(errno(libc::EINVAL));
    }
    // SAFETY: By the requirements of this function.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| errno(libc::EINVAL))
}

/// A client that is this process's.
///
/// # Safety
///
/// `client` must be NULL or have come from `enoki_client_open()`, and be used by nobody else.
unsafe fn client<'a>(client: *mut RawClient) -> io::Result<&'a mut RawClient> {
    // SAFETY: By the requirements of this function.
    let client = unsafe { client.as_mut() }.ok_or(errno(libc::EINVAL))?;
    client.device.check()?;
    Ok(client)
}

/// # Safety
///
/// `client` must be NULL or writable.
#[no_mangle]
unsafe extern "C" fn enoki_client_open(client: *mut *mut RawClient, policy: c_uint) -> c_int {
    result(|| {
        if client.is_null() {
            return Err(errno(libc::EINVAL));
        }
        let new = Box::new(RawClient {
            device: Arc::new(sys::Device::open(policy)?),
            hint_size: 0,
            hints: None,
            message_size: 0,
            messages: None,
        });
        // SAFETY: By the requirements of this function.
        unsafe { client.write(Box::into_raw(new)) };
        Ok(0)
    })
}

/// # Safety
///
/// `client` must be NULL or have come from `enoki_client_open()`, and is gone afterwards.
#[no_mangle]
unsafe extern "C" fn enoki_client_close(client: *mut RawClient) {
    if !client.is_null() {
        // SAFETY: By the requirements of this function.
        drop(unsafe { Box::from_raw(client) });
    }
}

/// What a queue is to carry.
///
/// # Safety
///
/// As for [`text()`].
unsafe fn layout<'a>(
    name: *const c_char,
    version: c_uint,
    fields: *const c_char,
    size: usize,
) -> io::Result<Layout<'a>> {
    // SAFETY: By the requirements of this function.
    let (name, fields) = unsafe { (text(name)?, text(fields)?) };
    if size == 0 || size > MAX_SIZE || size % 8 != 0 {
        return Err(errno(libc::EINVAL));
    }
    Ok(Layout {
        name,
        size: size as u32,
        version,
        hash: crate::hash(fields),
    })
}

/// # Safety
///
/// As for [`client()`] and [`text()`].
#[no_mangle]
unsafe extern "C" fn enoki_client_hints(
    raw: *mut RawClient,
    name: *const c_char,
    version: c_uint,
    fields: *const c_char,
    size: usize,
    nr_entries: c_uint,
) -> c_int {
    result(|| {
        // SAFETY: By the requirements of this function.
        let client = unsafe { client(raw)? };
        // SAFETY: By the requirements of this function.
        let layout = unsafe { layout(name, version, fields, size)? };
        client.hints = client
            .device
            .queue(sys::HINTS, &layout, nr_entries, ring::Writer::new)?;
        client.hint_size = size;
        Ok(0)
    })
}

/// # Safety
///
/// As for [`client()`] and [`text()`].
#[no_mangle]
unsafe extern "C" fn enoki_client_messages(
    raw: *mut RawClient,
    name: *const c_char,
    version: c_uint,
    fields: *const c_char,
    size: usize,
    nr_entries: c_uint,
) -> c_int {
    result(|| {
        // SAFETY: By the requirements of this function.
        let client = unsafe { client(raw)? };
        // SAFETY: By the requirements of this function.
        let layout = unsafe { layout(name, version, fields, size)? };
        client.messages =
            client
                .device
                .queue(sys::MESSAGES, &layout, nr_entries, ring::Reader::new)?;
        client.message_size = size;
        Ok(0)
    })
}

/// # Safety
///
/// `hint` must be NULL or of that size, for as long as what is returned lives.
unsafe fn hint_bytes<'a>(hint: *const c_void, size: usize) -> io::Result<&'a [u8]> {
    if hint.is_null() {
        return Err(errno(libc::EINVAL));
    }
    // SAFETY: By the requirements of this function.
    Ok(unsafe { slice::from_raw_parts(hint.cast::<u8>(), size) })
}

/// # Safety
///
/// As for [`client()`]; `hint` must be NULL or of the size of a hint.
#[no_mangle]
unsafe extern "C" fn enoki_client_send(
    raw: *mut RawClient,
    tid: c_int,
    hint: *const c_void,
) -> c_int {
    result(|| {
        // SAFETY: By the requirements of this function.
        let client = unsafe { client(raw)? };
        let writer = client.hints.as_mut().ok_or(errno(libc::ENOENT))?;
        // SAFETY: By the requirements of this function.
        let bytes = unsafe { hint_bytes(hint, client.hint_size)? };
        writer
            .get_mut()?
            .push(u64::from(tid as u32), bytes)
            .map_err(|_| errno(libc::EAGAIN))?;
        Ok(0)
    })
}

/// # Safety
///
/// As for [`client()`]; `hint` must be NULL or of the size of a hint.
#[no_mangle]
unsafe extern "C" fn enoki_client_send_now(
    raw: *mut RawClient,
    tid: c_int,
    hint: *const c_void,
) -> c_int {
    result(|| {
        // SAFETY: By the requirements of this function.
        let client = unsafe { client(raw)? };
        // SAFETY: By the requirements of this function.
        let bytes = unsafe { hint_bytes(hint, client.hint_size)? };
        client.device.hint(tid, bytes)?;
        Ok(0)
    })
}

/// # Safety
///
/// As for [`client()`].
#[no_mangle]
unsafe extern "C" fn enoki_client_doorbell(raw: *mut RawClient) -> c_int {
    result(|| {
        // SAFETY: By the requirements of this function.
        let client = unsafe { client(raw)? };
        Ok(client.device.doorbell()? as c_int)
    })
}

/// The next message, if there is one.
///
/// # Safety
///
/// `message` must be NULL or have room for a message.
unsafe fn receive(client: &mut RawClient, message: *mut c_void) -> io::Result<bool> {
    let reader = client.messages.as_mut().ok_or(errno(libc::ENOENT))?;
    if message.is_null() {
        return Err(errno(libc::EINVAL));
    }
    let mut data = [0; MAX_SIZE];
    let data = &mut data[..client.message_size];
    if reader.get_mut()?.pop(data).is_none() {
        return Ok(false);
    }
    // SAFETY: By the requirements of this function.
    unsafe { ptr::copy_nonoverlapping(data.as_ptr(), message.cast(), data.len()) };
    Ok(true)
}

/// # Safety
///
/// As for [`client()`]; `message` must be NULL or have room for a message.
#[no_mangle]
unsafe extern "C" fn enoki_client_receive(raw: *mut RawClient, message: *mut c_void) -> c_int {
    result(|| {
        // SAFETY: By the requirements of this function.
        unsafe { Ok(receive(client(raw)?, message)?.into()) }
    })
}

/// # Safety
///
/// As for [`client()`]; `message` must be NULL or have room for a message.
#[no_mangle]
unsafe extern "C" fn enoki_client_wait(
    raw: *mut RawClient,
    message: *mut c_void,
    timeout_ms: c_int,
) -> c_int {
    result(|| {
        // SAFETY: By the requirements of this function.
        let client = unsafe { client(raw)? };
        // SAFETY: By the requirements of this function.
        if unsafe { receive(client, message)? } {
            return Ok(1);
        }
        let events = client.device.poll(libc::POLLIN, timeout_ms)?;
        // SAFETY: By the requirements of this function.
        if unsafe { receive(client, message)? } {
            return Ok(1);
        }
        if events & libc::POLLHUP != 0 {
            return Err(errno(libc::ENODEV));
        }
        Ok(0)
    })
}

/// # Safety
///
/// As for [`client()`].
#[no_mangle]
unsafe extern "C" fn enoki_client_fd(raw: *mut RawClient) -> c_int {
    // SAFETY: By the requirements of this function.
    result(|| Ok(unsafe { client(raw)? }.device.fd()))
}

/// # Safety
///
/// As for [`client()`].
#[no_mangle]
unsafe extern "C" fn enoki_client_refused(raw: *mut RawClient) -> c_uint {
    // SAFETY: By the requirements of this function.
    let client = unsafe { client(raw) }.ok();
    let writer = client.and_then(|client| client.hints.as_ref());
    let writer = writer.and_then(|writer| writer.get().ok());
    writer.map_or(0, |writer| writer.memory().dropped())
}

/// # Safety
///
/// As for [`client()`].
#[no_mangle]
unsafe extern "C" fn enoki_client_dropped(raw: *mut RawClient) -> c_uint {
    // SAFETY: By the requirements of this function.
    let client = unsafe { client(raw) }.ok();
    let reader = client.and_then(|client| client.messages.as_ref());
    let reader = reader.and_then(|reader| reader.get().ok());
    reader.map_or(0, |reader| reader.memory().dropped())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos() {
        assert_eq!(result(|| Err(Forked.into())), -libc::ECHILD);
        assert_eq!(result(|| Err(errno(libc::EPROTO))), -libc::EPROTO);
        assert_eq!(
            result(|| Err(io::ErrorKind::InvalidData.into())),
            -libc::EINVAL
        );
    }
}
