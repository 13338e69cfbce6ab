//! The raw side of Lua: the one file with unsafe code, behind an interface that is safe.
//!
//! What stands here can be had through `mlua` as well, at a price for every request: it arms the interrupt only when a
//! call is overdue, which needs the interrupt's pointer.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlua::{Lua, ffi};

/// A state's interrupt, which is called at every loop, call and match while it is armed.
#[derive(Debug)]
struct Interrupt {
    callbacks: NonNull<ffi::lua_Callbacks>,
    function: unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int),
}

// SAFETY: Luau allows every thread to set the interrupt (`lua.h` at `lua_Callbacks`), and nothing else of the state is
// touched through the pointer.
unsafe impl Send for Interrupt {}

/// Arms a state's interrupt from whatever thread.
#[derive(Debug, Default)]
pub(super) struct Alarm(Mutex<Option<Interrupt>>);

impl Alarm {
    /// Disarms the interrupt that a state has, and takes it over until the leash goes.
    pub(super) fn leash(self: &Arc<Self>, lua: &Lua) -> mlua::Result<Leash> {
        let mut found = None;
        // SAFETY: the state is valid while the closure runs, and nothing runs in it meanwhile. `lua_callbacks` raises no
        // error and returns a part of the state, which stays where it is as long as the state lives.
        unsafe {
            lua.exec_raw::<()>((), |state| {
                let callbacks = ffi::lua_callbacks(state);
                found = NonNull::new(callbacks).zip((*callbacks).interrupt.take());
            })?;
        }
        *self.interrupt() = found.map(|(callbacks, function)| Interrupt { callbacks, function });
        Ok(Leash { alarm: Arc::clone(self), _state: lua.clone() })
    }

    /// Arms it: the next safe point of the state calls it, and so does each one after that.
    pub(super) fn ring(&self) {
        let interrupt = self.interrupt();
        let Some(Interrupt { callbacks, function }) = &*interrupt else { return };
        let function = *function as *mut c_void;
        // SAFETY: while there is an interrupt, its leash holds the state, and giving up both takes the lock that is held
        // here. The field has size and alignment of a pointer, being the option of one to a function; Luau reads it
        // without a lock at each safe point and says that it may be set at any time.
        unsafe {
            let field = (&raw mut (*callbacks.as_ptr()).interrupt).cast::<*mut c_void>();
            AtomicPtr::from_ptr(field).store(function, Ordering::Release);
        }
    }

    fn interrupt(&self) -> MutexGuard<'_, Option<Interrupt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a state alive as long as its interrupt can be armed.
#[derive(Debug)]
pub(super) struct Leash {
    alarm: Arc<Alarm>,
    _state: Lua,
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.alarm.interrupt().take();
    }
}
