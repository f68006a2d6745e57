"""The rules of WebSocket framing (RFC 6455 section 5): bytes in, bytes and decisions out.

A `FrameFilter` reads one direction of one connection. It is fed the chunks as the socket delivered
them and returns the bytes to send on. The rules, in prose:

- Framing is always checked: reserved bits and opcodes, the shortest length encoding, control frames
  (whole, at most 125 bytes), the mask in the right direction, the order of fragments, close codes.
- A message that nothing wants to rewrite is passed on as ranges of the received bytes, as it comes:
  a chunk full of such frames leaves as one piece, a large frame is never collected. Where somebody
  looks at text messages, a copy is collected beside it, within bounds of its own.
- A text message that a rewriter may change is held until its last byte; which rewriter applies is
  fixed at its first fragment. Control frames overtake it (section 5.4). Where the rewriter leaves
  it alone, its own frames go on, fragments and all.
- Sizes and counts have bounds (`FilterLimits`), for what is held and for what passes alike: a
  message of endless empty fragments costs work on both sides of a proxy.
- How long a message is held is for whoever has a clock: `holds` names the one that is, and changes
  with it, whatever control frames come in between.
- The unit of the accounts is the message: it counts when its last byte has arrived, once.
- What a rule adds to a message goes out as further messages behind it.

No sockets, no clock: the random bytes for new masks come from a function that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.errors import MappingFailure
from proxy.rewriting import MessageCopy, MessageHandling
from proxy.websocket.failures import (
    FRAME_TOO_BIG,
    MESSAGE_TOO_BIG,
    RESERVED_OPCODE,
    TOO_MANY_CONTROL_FRAMES,
    TOO_MANY_FRAGMENTS,
    Blame,
    Fault,
    FilterLimits,
    read_close,
)
from proxy.websocket.frames import (
    BINARY,
    CLOSE,
    FIN,
    LENGTH_16,
    LENGTH_64,
    MASKED,
    MAX_CONTROL_PAYLOAD,
    PONG,
    RESERVED_BITS,
    TEXT,
    apply_mask,
    encode,
)
from proxy.websocket.state import FilterState

WHOLE_TEXT: Final = FIN | TEXT
"""How a text message in one frame begins (section 5.2)."""


class FrameFilter:
    """Walks the frames of one direction. See the module's text for the rules.

    Attributes:
        handling: applies to each message whose first fragment is read while it stands.
        fault: set when the direction was given up; from then on `feed` returns nothing.
        close_code: the code of the Close frame that was passed on, `NO_STATUS` for an empty one,
            None before.
        control_frames: how many came; whoever has a clock lowers it as time goes by.
        holds: a number of its own for the message of which a part is held; 0 where none is.
        undisturbed: whether the next bytes begin a message that is read and delivered: no part of
            another is waited for, nobody gave up or said the last word.
        withholds_close: whether a Close frame is read and not passed on.
    """

    __slots__ = (
        "_copy",
        "_copy_key",
        "_current",
        "_deliverable",
        "_final",
        "_finishing",
        "_first",
        "_fragments",
        "_head",
        "_held",
        "_holding",
        "_mask_bit",
        "_mask_key",
        "_max_controls",
        "_max_fragments",
        "_max_frame",
        "_max_message",
        "_need",
        "_opcode",
        "_payload",
        "_raw",
        "_serial",
        "_size",
        "_skip",
        "close_code",
        "control_frames",
        "fault",
        "handling",
        "holds",
        "undisturbed",
        "withholds_close",
    )

    def __init__(
        self,
        *,
        masked: bool,
        handling: MessageHandling,
        random: Callable[[int], bytes],
        limits: FilterLimits,
    ) -> None:
        """Begin at a frame boundary.

        Args:
            masked: whether the frames must be masked: those of a client are (section 5.1).
            handling: what becomes of the messages, and where they are counted.
            random: returns that many random bytes, for the masks of rewritten client frames.
            limits: of this direction.
        """
        self.handling = handling
        self.fault: Fault | None = None
        self.close_code: int | None = None
        self.withholds_close = False
        self.undisturbed = True
        self._mask_bit = MASKED if masked else 0
        self._head = 6 if masked else 2
        self._mask_key = random if masked else None
        # A frame cannot be larger than its message: one comparison for a message of one frame.
        self._max_frame = min(limits.frame, limits.message)
        self._max_message = limits.message
        self._max_fragments = limits.fragments
        self._max_controls = limits.control_frames
        self.control_frames = 0.0
        self._deliverable = True
        self._finishing = False
        # The start of a frame that cannot be decided on yet, and how many bytes of it are needed.
        self._held = bytearray()
        self._need = 0
        # The payload bytes still to come of a frame that is passed on as it comes.
        self._skip = 0
        # The message in progress: how it is treated, its opcode (0: none), size and fragments so
        # far, whether the frame that is passed on ends it, whether it is held, and what is held.
        self._current = handling
        self._opcode = 0
        self._size = 0
        self._fragments = 0
        self._final = False
        self._holding = False
        self._raw = bytearray()
        self._payload = bytearray()
        # What is copied of a message that is passed on, and the mask for what comes of its frame.
        self._copy: MessageCopy | None = None
        self._copy_key = b""
        # Names of messages of which a part is held: the last that was given, and that of the one
        # whose fragments are.
        self.holds = 0
        self._serial = 0
        self._first = 0

    @property
    def at_boundary(self) -> bool:
        """Whether a frame of Segue's own may be sent now: nothing is half sent."""
        return not (self._skip and self._deliverable)

    @property
    def ended(self) -> bool:
        """Whether nothing more is read: a Close frame was passed on, or there is a fault."""
        return self.fault is not None or self.close_code is not None

    @property
    def unfinished(self) -> MessageHandling | None:
        """How the message is treated of which a part has been read; None between two messages."""
        return self._current if self._opcode or self._skip else None

    @property
    def waiting(self) -> int:
        """Bytes that are kept: of a frame that cannot be decided on yet, of a message or a copy."""
        copied = 0 if self._copy is None else self._copy.size
        return len(self._held) + len(self._raw) + len(self._payload) + copied

    def finish(self) -> bool:
        """Deliver nothing beyond the frame that is half sent; count the rest as undelivered.

        Returns whether the boundary is reached already. Otherwise `at_boundary` says so after one
        of the next calls of `feed`.
        """
        self._stop_holding()
        self.undisturbed = False
        if self._skip and self._deliverable:
            self._finishing = True
            return False
        self._deliverable = False
        return True

    def give_up(self, fault: Fault) -> None:
        """Read nothing more, for a fault that is found from outside, and forget what is held."""
        self._stop_holding()
        self.forget_copy()
        self._held.clear()
        self.fault = fault
        self.undisturbed = False

    def discard(self) -> None:
        """Deliver nothing more, not even the end of a frame: nobody is there to take it."""
        self._stop_holding()
        self.forget_copy()
        self._finishing = self._deliverable = self.undisturbed = False

    def forget_copy(self) -> None:
        """Keep no copy of the message that is on its way: it will never be whole."""
        if self._copy is not None:
            self._copy.drop()
            self._copy = None

    def state(self) -> FilterState:
        """What it is in the middle of, in plain values."""
        return FilterState(
            held=bytes(self._held),
            need=self._need,
            skip=self._skip,
            final=self._final,
            opcode=self._opcode,
            size=self._size,
            fragments=self._fragments,
            holding=self._holding,
            raw=bytes(self._raw),
            payload=bytes(self._payload),
            deliverable=self._deliverable,
            finishing=self._finishing,
            control_frames=self.control_frames,
            withholds_close=self.withholds_close,
            close_code=self.close_code,
            fault="" if self.fault is None else self.fault.reason,
        )

    def resume(self, state: FilterState) -> None:
        """Go on where another one was, which had not given up.

        A message that is held there is rewritten by what applies here. Of one that is copied there,
        the copy is not: who looks is not told of it.
        """
        self._held = bytearray(state.held)
        self._need = state.need
        self._skip = state.skip
        self._final = state.final
        self._opcode = state.opcode
        self._size = state.size
        self._fragments = state.fragments
        self._holding = state.holding
        self.holds = self._serial = self._first = 1 if state.holding else 0
        self._raw = bytearray(state.raw)
        self._payload = bytearray(state.payload)
        self._deliverable = state.deliverable
        self._finishing = state.finishing
        self.control_frames = state.control_frames
        self.withholds_close = state.withholds_close
        self.close_code = state.close_code
        self.undisturbed = self._deliverable and not (
            self._held or self._skip or self._opcode or self.ended
        )

    def feed(self, data: bytes) -> list[bytes]:  # noqa: C901 (one loop: a call costs more than a frame)
        """Take the next bytes of the connection; return those to send on, in order."""
        size = len(data)
        # Most chunks are one whole text message in one frame, and nothing else is going on. The
        # rest of this function does the same with it, and takes 1 microsecond longer.
        if self.undisturbed and size > 7 and data[0] == WHOLE_TEXT:
            head = self._head
            # Beyond 127, and no length, where the mask bit is not as it has to be.
            length = data[1] ^ self._mask_bit
            if length == LENGTH_16:
                head += 2
                length = data[2] << 8 | data[3]
                if length < LENGTH_16:
                    length = -1
            elif length > LENGTH_16:
                length = -1
            if head + length == size and length <= self._max_frame:
                current = self._current = self.handling
                if current.rewriter is None:
                    current.counts.passed += 1
                    if current.observer is not None:
                        current.observer.note(self._unmasked(data, head, size))
                    return [data]
                payload = data[head:]
                if self._mask_bit:
                    payload = apply_mask(payload, data[head - 4 : head])
                frames = self._rewrite(payload)
                return [data] if frames is None else frames
        if self.ended:
            return []  # Nothing may follow a Close frame (section 5.5.1).
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return []
            data = bytes(self._held)
            self._held.clear()
        end = len(data)
        out: list[bytes] = []
        start = position = 0
        if self._skip:
            if self._copy is not None:
                self._add_to_copy(data, 0, min(self._skip, end))
            if end < self._skip:
                self._skip -= end
                return [data] if self._deliverable else []
            position = self._skip
            self._skip = 0
            if self._final:
                self._count_passed(self._current)
            if self._finishing:
                self._finishing = self._deliverable = False
                out.append(data[:position])
                start = position
        deliverable = self._deliverable
        mask_bit = self._mask_bit
        need = 2
        waits = False
        while end - position >= 2:
            first = data[position]
            second = data[position + 1]
            head = position + 2
            length = second & 0x7F
            if length >= LENGTH_16:
                head += 2 if length == LENGTH_16 else 8
                if head > end:
                    need = head - position
                    break
                extended = int.from_bytes(data[position + 2 : head], "big")
                if extended < (0x10000 if length == LENGTH_64 else LENGTH_16):
                    self.fault = Fault(1002, "length not in its shortest form")
                    break
                if extended >> 63:
                    self.fault = Fault(1002, "length beyond 63 bits")
                    break
                length = extended
            if first & RESERVED_BITS:
                self.fault = Fault(1002, "reserved bits set without an extension")
                break
            if second & MASKED != mask_bit:
                self.fault = Fault(1002, "unmasked frame" if mask_bit else "masked frame")
                break
            if mask_bit:
                head += 4
            stop = head + length
            opcode = first & 0x0F

            if opcode >= CLOSE:
                if opcode > PONG:
                    self.fault = RESERVED_OPCODE
                    break
                if not first & FIN or length > MAX_CONTROL_PAYLOAD:
                    self.fault = Fault(1002, "invalid control frame")
                    break
                if stop > end:
                    need = stop - position
                    break
                if self.control_frames >= self._max_controls:
                    self.fault = TOO_MANY_CONTROL_FRAMES
                    break
                self.control_frames += 1
                if opcode == CLOSE:
                    code = read_close(self._unmasked(data, head, stop))
                    if isinstance(code, Fault):
                        self.fault = code
                    else:
                        self.close_code = code
                        end = position = position if self.withholds_close else stop
                    break
                position = stop
                continue

            # A data frame: the first of its message, or the next fragment.
            if opcode:
                if opcode > BINARY:
                    self.fault = RESERVED_OPCODE
                    break
                if self._opcode:
                    self.fault = Fault(1002, "unexpected data frame")
                    break
                size = length
                fragments = 1
                current = self._current = self.handling
                holding = opcode == TEXT and current.rewriter is not None and deliverable
            else:
                if not self._opcode:
                    self.fault = Fault(1002, "continuation of nothing")
                    break
                size = self._size + length
                fragments = self._fragments + 1
                if fragments > self._max_fragments:
                    self.fault = TOO_MANY_FRAGMENTS
                    break
                if size > self._max_message:
                    self.fault = MESSAGE_TOO_BIG
                    break
                current = self._current
                holding = self._holding
            if length > self._max_frame:
                self.fault = MESSAGE_TOO_BIG if length > self._max_message else FRAME_TOO_BIG
                break
            final = first & FIN != 0

            if not holding:
                if head > end:
                    need = head - position
                    break
                if opcode == TEXT and current.observer is not None and deliverable:
                    self._copy = current.observer.begin()
                if self._copy is not None:
                    self._copy_key = data[head - 4 : head] if mask_bit else b""
                    self._add_to_copy(data, head, min(stop, end))
                self._opcode = 0 if final else (opcode or self._opcode)
                self._size = 0 if final else size
                self._fragments = fragments
                self._holding = False
                if stop > end:
                    self._skip = stop - end
                    self._final = final
                    position = end
                    break
                if final:
                    self._count_passed(current)
                position = stop
                continue

            if stop > end:
                need = stop - position
                waits = True
                break
            payload = self._unmasked(data, head, stop)
            if opcode and final:
                frames = self._rewrite(payload)
                if frames is not None:
                    if start < position:
                        out.append(data[start:position])
                    out += frames
                    start = stop
            else:
                if start < position:
                    out.append(data[start:position])
                start = stop
                frames = self._collect(payload, data[position:stop], final=final)
                if frames is not None:
                    out += frames
                self._opcode = 0 if final else (opcode or self._opcode)
                self._size = 0 if final else size
                self._fragments = fragments
            if self.fault is not None:
                break
            position = stop

        if start < position and deliverable:
            out.append(data if position - start == len(data) else data[start:position])
        if position < end and self.fault is None:
            self._held += data[position:]
            self._need = need
        if self._holding:
            self.holds = self._first
        elif not waits:
            self.holds = 0
        else:  # Of another frame than before: that one had to be whole for this to be read.
            self._serial += 1
            self.holds = self._serial
        self.undisturbed = deliverable and not (
            self._held or self._skip or self._opcode or self.ended
        )
        return out

    def _unmasked(self, data: bytes, head: int, stop: int) -> bytes:
        """Return the payload of a frame whose payload stands at `head:stop`."""
        payload = data[head:stop]
        return apply_mask(payload, data[head - 4 : head]) if self._mask_bit else payload

    def _count_passed(self, handling: MessageHandling) -> None:
        if self._deliverable:
            handling.counts.passed += 1
            if self._copy is not None:
                self._copy.end()
                self._copy = None
        else:
            handling.counts.undelivered += 1
            self.forget_copy()

    def _add_to_copy(self, data: bytes, start: int, stop: int) -> None:
        """Add what came of the payload of a frame; its mask goes on where it is then."""
        assert self._copy is not None
        if not self._copy.is_kept:
            return
        part, key = data[start:stop], self._copy_key
        if key:
            turn = len(part) % 4
            self._copy_key = key[turn:] + key[:turn]
            part = apply_mask(part, key)
        self._copy.add(part)

    def _stop_holding(self) -> None:
        self._drop_held()
        self._holding = False
        self.holds = 0

    def _drop_held(self) -> None:
        self._payload.clear()
        self._raw.clear()

    def _collect(self, payload: bytes, raw: bytes, *, final: bool) -> list[bytes] | None:
        """Add a fragment to the message that is held; return its frames once it is whole."""
        if not self._holding:
            self._serial += 1
            self._first = self._serial
        self._holding = not final
        self._payload += payload
        self._raw += raw
        if not final:
            return None
        frames = self._rewrite(bytes(self._payload))
        if frames is None:
            frames = [bytes(self._raw)]
        self._drop_held()
        return frames

    def _rewrite(self, payload: bytes) -> list[bytes] | None:
        """Return the frames that stand in a message's place; None sends the frames received."""
        try:
            messages = self._current.rewrite(payload)
        except MappingFailure:
            self.fault = Fault(1011, "message could not be mapped", Blame.MAPPING)
            self.undisturbed = False
            return []
        if messages is None:
            return None
        if self._mask_key is None:
            if len(messages) == 1:
                return [encode(TEXT, messages[0])]
            return [encode(TEXT, message) for message in messages]
        return [encode(TEXT, message, self._mask_key(4)) for message in messages]
