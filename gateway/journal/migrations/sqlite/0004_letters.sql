-- Dead letters in their order, and by what they are counted and chosen by: a slice of many is found without the others.
CREATE INDEX parked_letters ON parked (id, lane, reason, at_ms) WHERE state = 'dead';
