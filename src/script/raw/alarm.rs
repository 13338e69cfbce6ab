//! The alarm arms a state's interrupt, from whatever thread: `mlua` knows a way for the state's own thread only.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlua::Lua;
use mlua::ffi::{self, lua_State};

/// A state's interrupt, which is called at every loop, call and match while it is armed.
#[derive(Debug)]
struct Interrupt {
    callbacks: NonNull<ffi::lua_Callbacks>,
    function: unsafe extern "C-unwind" fn(*mut lua_State, c_int),
}

// SAFETY: Luau allows every thread to set the interrupt (`lua.h` at `lua_Callbacks`), and nothing else of the state is
// touched through the pointer.
unsafe impl Send for Interrupt {}

/// Arms a state's interrupt from whatever thread.
#[derive(Debug, Default)]
pub(in crate::script) struct Alarm(Mutex<Option<Interrupt>>);

impl Alarm {
    /// Disarms the interrupt that a state has, and takes it over until the leash goes.
    pub(in crate::script) fn leash(self: &Arc<Self>, lua: &Lua) -> mlua::Result<Leash> {
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
    pub(in crate::script) fn ring(&self) {
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
pub(in crate::script) struct Leash {
    alarm: Arc<Alarm>,
    _state: Lua,
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.alarm.interrupt().take();
    }
}

#[cfg(test)]
mod tests {
    use mlua::VmState;

    use super::*;

    fn state_with_interrupt() -> Lua {
        let lua = Lua::new();
        lua.set_interrupt(|_| -> mlua::Result<VmState> { Err(mlua::Error::runtime("interrupted")) });
        lua
    }

    #[test]
    fn a_disarmed_interrupt_is_not_called_and_an_armed_one_is_at_once_and_ever_after() {
        let (lua, alarm) = (state_with_interrupt(), Arc::new(Alarm::default()));
        let run = || lua.load("for i = 1, 1000 do end return 7").eval::<u32>();
        assert!(run().is_err());

        let _leash = alarm.leash(&lua).unwrap();

        assert_eq!(run().unwrap(), 7);
        alarm.ring();
        assert!(run().is_err() && run().is_err());
    }

    #[test]
    fn ringing_after_the_state_has_gone_or_while_it_goes_touches_nothing() {
        let alarm = Arc::new(Alarm::default());
        alarm.ring();
        let (ringer, ended) = (Arc::clone(&alarm), std::sync::mpsc::channel::<()>());
        let thread = std::thread::spawn(move || {
            while ended.1.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                ringer.ring();
            }
        });

        for _ in 0..20 {
            let lua = state_with_interrupt();
            let leash = alarm.leash(&lua).unwrap();
            drop(lua);
            assert!(alarm.interrupt().is_some(), "the leash keeps the state");
            drop(leash);
            assert!(alarm.interrupt().is_none());
        }

        drop(ended.0);
        thread.join().unwrap();
    }

    #[test]
    fn a_state_without_an_interrupt_has_nothing_to_arm() {
        let (lua, alarm) = (Lua::new(), Arc::new(Alarm::default()));
        let _leash = alarm.leash(&lua).unwrap();

        alarm.ring();

        assert_eq!(lua.load("for i = 1, 10 do end return 1").eval::<u32>().unwrap(), 1);
    }
}
