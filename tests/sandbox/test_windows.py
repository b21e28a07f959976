from gateway.sandbox.windows import Bursty, FixedWindow, SlidingLog


def test_a_sliding_log_lets_as_many_through_as_it_allows_in_any_window() -> None:
    log = SlidingLog(4, 1.0)
    assert [log.take(at) for at in (0.0, 0.1, 0.2, 0.3, 0.4)] == [True, True, True, True, False]
    assert log.used(0.5) == 4


def test_a_unit_is_free_again_exactly_one_window_later() -> None:
    log = SlidingLog(1, 1.0)
    assert [log.take(at) for at in (0.0, 0.999, 1.0)] == [True, False, True]


def test_what_a_sliding_log_refuses_is_not_counted() -> None:
    log = SlidingLog(1, 1.0)
    log.take(0.0)
    for at in (0.2, 0.5, 0.8):
        assert not log.take(at)
    assert log.take(1.0)


def test_a_sliding_log_says_how_long_to_wait() -> None:
    log = SlidingLog(1, 60.0)
    assert log.wait_s(5.0) == 0
    log.take(5.0)
    assert log.wait_s(20.0) == 45.0


def test_a_fixed_window_begins_with_the_first_unit() -> None:
    window = FixedWindow(2, 1.0)
    assert [window.take(at) for at in (10.9, 11.0, 11.8, 11.9)] == [True, True, False, True]


def test_a_fixed_window_says_when_it_ends() -> None:
    window = FixedWindow(2, 1.0)
    assert window.wait_s(3.0) == 0
    window.take(3.0)
    assert (window.wait_s(3.25), window.used(3.25), window.used(4.0)) == (0.75, 1.0, 0.0)


def hammered(limit: Bursty, seconds: int, cost: float) -> list[int]:
    """How many of 50 requests a second get through, second by second."""
    return [sum(limit.take(second + tick / 50, cost) for tick in range(50)) for second in range(seconds)]


def test_the_bursty_limiter_gives_17_writes_in_the_first_second_and_135_a_minute() -> None:
    through = hammered(Bursty(FixedWindow(25, 1.0), FixedWindow(150, 60.0)), 120, cost=10)
    assert through[:3] == [17, 2, 2]
    assert (sum(through[:60]), sum(through[60:])) == (135, 135)
