-- What analysts need on top of ClickHouse's own functions. SQL functions belong to the server, not to a database.
-- Histograms are HDR: 2 significant digits, unit 1 µs. Bucket i < 256 is the value i; above, with e = i / 128 − 1
-- and m = i % 128 + 128, it is [m·2^e, (m + 1)·2^e). Counts are thousandths of adjusted calls (0003_edges.sql).

-- The value that stands for bucket i: its middle, rounded down.
CREATE OR REPLACE FUNCTION hdrMiddle AS (i) ->
    toUInt64(if(i < 256, toUInt64(i), bitShiftLeft(toUInt64(2 * (i % 128 + 128) + 1), toUInt8(greatest(intDiv(i, 128), 2) - 2))));

-- Adjusted number of values in a histogram.
CREATE OR REPLACE FUNCTION hdrCount AS (h) -> toFloat64(arraySum(tupleElement(h, 2))) / 1000;

-- Quantile q (0–1) in microseconds by nearest rank, as the middle of its bucket; 0 of an empty histogram.
-- Integers throughout: q counts to the sixth decimal, and float rounding can't move a rank.
CREATE OR REPLACE FUNCTION hdrQuantile AS (h, q) ->
    if(arraySum(tupleElement(h, 2)) <= 0, toUInt64(0),
        hdrMiddle(tupleElement(h, 1)[arrayFirstIndex(
            below -> toInt128(below) * 1000000 >= greatest(toInt128(arraySum(tupleElement(h, 2))) * toInt64(round(q * 1000000)), 1),
            arrayCumSum(tupleElement(h, 2)))]));

-- Mean in microseconds, exact: the histogram's count under the sum that stands beside it.
CREATE OR REPLACE FUNCTION hdrMean AS (h, sum_us) ->
    if(arraySum(tupleElement(h, 2)) <= 0, 0., toFloat64(sum_us) * 1000 / arraySum(tupleElement(h, 2)));

-- Adjusted number of values above a limit in microseconds (a bucket counts as a whole, by its middle).
CREATE OR REPLACE FUNCTION hdrCountAbove AS (h, limit_us) ->
    toFloat64(arraySum((i, n) -> if(hdrMiddle(i) > limit_us, n, 0), tupleElement(h, 1), tupleElement(h, 2))) / 1000;

-- part / whole as a float: a quotient of decimals keeps three decimals only. 0 of nothing.
CREATE OR REPLACE FUNCTION share AS (part, whole) -> if(whole = 0, 0., toFloat64(part) / toFloat64(whole));
