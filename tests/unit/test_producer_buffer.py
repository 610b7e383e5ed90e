"""The buffer between a service's threads and the one that sends."""

from __future__ import annotations

import threading
import time

from schemas.producer_buffer import Buffer, Counts, Dropped
from schemas.producer_message import Message


def message(number: int, *, size_bytes: int = 10) -> Message:
    return Message(b"%d" % number, b"k" * (size_bytes - len(b"%d" % number)), 0, float(number))


def filled(count: int, *, max_pending: int = 100, max_pending_bytes: int = 1_000) -> Buffer:
    buffer = Buffer(max_pending, max_pending_bytes)
    for number in range(count):
        assert buffer.put(message(number), 0)
    return buffer


def test_messages_are_taken_oldest_first_and_stay_pending_until_their_end_is_told() -> None:
    buffer = filled(5)
    assert buffer.take(2) == [message(0), message(1)]
    assert buffer.counts() == Counts(5, 0, 5, 0, Dropped())
    buffer.delivered([message(0)])
    buffer.drop([message(1)], "refused")
    assert buffer.counts() == Counts(5, 1, 3, 0, Dropped(refused=1))
    assert buffer.take(10) == [message(2), message(3), message(4)]
    assert not buffer.has_waiting


def test_what_is_given_back_comes_before_what_waits_the_oldest_first() -> None:
    buffer = filled(5)
    taken = buffer.take(3)
    buffer.give_back(taken[::-1], retried=True)
    assert buffer.take(5) == [message(number) for number in range(5)]
    assert buffer.counts().retried == 3


def test_what_waits_is_given_up_by_its_age_and_what_is_under_way_is_not() -> None:
    buffer = filled(5)
    buffer.take(1)
    assert buffer.drop_older_than(3.0) == 2
    assert buffer.take(5) == [message(3), message(4)]
    assert buffer.counts() == Counts(5, 0, 3, 0, Dropped(gave_up=2))


def test_a_caller_that_waits_goes_on_as_soon_as_there_is_room() -> None:
    buffer = filled(3, max_pending=3)
    threading.Timer(0.05, lambda: buffer.delivered(buffer.take(1))).start()
    begin = time.monotonic()
    assert buffer.put(message(3), 30)
    assert time.monotonic() - begin < 10
    assert buffer.counts() == Counts(4, 1, 3, 0, Dropped())


def test_once_something_left_callers_may_wait_again() -> None:
    buffer = filled(2, max_pending=2)
    assert not buffer.put(message(2), 0.01)
    begin = time.monotonic()
    assert not buffer.put(message(3), 30)
    assert time.monotonic() - begin < 10
    buffer.delivered(buffer.take(1))
    assert buffer.put(message(4), 0)
    threading.Timer(0.05, lambda: buffer.delivered(buffer.take(1))).start()
    assert buffer.put(message(5), 30)


def test_bytes_are_room_as_well_as_messages() -> None:
    buffer = filled(3, max_pending_bytes=35)
    assert not buffer.put(message(3), 0)
    buffer.delivered(buffer.take(1))
    assert buffer.put(message(4), 0)
    assert not buffer.put(message(5, size_bytes=6), 0)
    assert buffer.put(message(6, size_bytes=5), 0)


def test_closing_lets_a_waiting_caller_go() -> None:
    buffer = filled(1, max_pending=1)
    threading.Timer(0.05, buffer.close).start()
    begin = time.monotonic()
    assert not buffer.put(message(1), 30)
    assert time.monotonic() - begin < 10


def test_once_finished_nothing_is_counted_twice() -> None:
    buffer = filled(4)
    taken = buffer.take(3)
    buffer.finish()
    expected = Counts(4, 0, 0, 0, Dropped(closed=4))
    assert buffer.counts() == expected
    buffer.delivered(taken[:1])
    buffer.drop(taken[1:2], "gave_up")
    buffer.give_back(taken[2:], retried=True)
    buffer.finish()
    assert buffer.counts() == expected
    assert not buffer.has_waiting


def test_the_sender_sleeps_until_something_waits() -> None:
    buffer = filled(0)
    threading.Timer(0.05, lambda: buffer.put(message(0), 0)).start()
    buffer.wait_for_messages()
    assert buffer.has_waiting
    buffer.wait_for_messages()


def test_the_sender_can_be_woken_for_good() -> None:
    buffer = filled(0)
    threading.Timer(0.05, buffer.wake).start()
    buffer.wait_for_messages()
    buffer.wait_for_messages()


def test_a_handler_that_records_while_its_thread_is_inside_does_not_hang() -> None:
    buffer = filled(0)
    with buffer._lock:
        assert buffer.put(message(0), 0)
    assert buffer.counts().recorded == 1
