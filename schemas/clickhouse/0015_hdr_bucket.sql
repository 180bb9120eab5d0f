-- The bucket of a value in microseconds (0001_functions.sql), the last one for all values above. `hdrExponent` is its e, 0
-- below 256 µs.
CREATE OR REPLACE FUNCTION hdrExponent AS (us) ->
    toUInt64(greatest(toInt64(round(log2(roundToExp2(toUInt64(greatest(us, 1)))))) - 7, 0));

CREATE OR REPLACE FUNCTION hdrBucket AS (us) ->
    toUInt16(least(bitShiftRight(toUInt64(greatest(us, 0)), hdrExponent(us)) + 128 * hdrExponent(us), 4351));
