"""How the lanes of an account share its requests: each record of a batch is of the lane that has had the least of its
share. Pure.
"""

import heapq
from collections.abc import Sequence

from gateway.deliver.lane import LaneWork
from gateway.deliver.queue import Now, Queue, fits
from gateway.vendors.base import Record


class Shares:
    """What each lane has had of its share is `LaneWork.served`; `floor` is the least that any is held to have had."""

    def __init__(self) -> None:
        self.floor = 0.0

    def fill(self, queue: Queue, channel: str, works: Sequence[LaneWork], most: int, now: Now) -> list[Record]:
        """The records of a batch from these lanes, which have some: up to `most`."""
        rules = queue.destination.rules
        self.floor = max(self.floor, min([work.served for work in works]))
        records: list[Record] = []
        if len(works) == 1 and works[0].lets_all_go():
            records = queue.pop_run(channel, works[0].id, most)
            self._serve(works[0], rules.records, len(records))
        if len(records) < most:
            self._fill_up(records, queue, channel, works, most, now)
        if rules.keyed:  # what fails as a whole goes again in this order, from whatever lanes
            records.sort(key=lambda record: (record.lane, record.seq))
        return records

    def _fill_up(
        self, records: list[Record], queue: Queue, channel: str, works: Sequence[LaneWork], most: int, now: Now
    ) -> None:
        """More records, one by one."""
        rules = queue.destination.rules
        keys = {record.draft.part for record in records} if rules.one_per_key else set()
        size = 2 + sum([len(record.encoded) + 1 for record in records])
        by_lane = {work.id: work for work in works}
        heap = [(work.served, work.id) for work in works]
        heapq.heapify(heap)
        while heap and len(records) < most:
            lane = heap[0][1]
            record = queue.peek(channel, lane, now)
            if records and record is not None:
                if not fits(records[0], record, size, rules):
                    break
                if rules.keyed and (record.batch, record.attempt) != (records[0].batch, records[0].attempt):
                    record = None
            if record is None or (rules.one_per_key and record.draft.part in keys):
                heapq.heappop(heap)
                continue
            records.append(queue.pop(channel, lane))
            if rules.one_per_key:  # what else there is of its key steps aside
                keys.add(record.draft.part)
                queue.take((record,))
            size += len(record.encoded) + 1
            heapq.heapreplace(heap, (self._serve(by_lane[lane], rules.records, 1), lane))

    def _serve(self, work: LaneWork, most: int, records: int) -> float:
        """So many records of a lane go; gives what it has had of its share. What it did not use is no claim, and what
        it had beyond its share, since there was room beside others, is held against it for one batch at most.
        """
        share = 1 / work.weight
        if records:
            work.served = min(max(work.served, self.floor) + records * share, self.floor + most * share)
        return work.served
