#!lua flags=allow-oom
-- Replaces the changes that were read by their join, then gives the ticket back. Nothing was sent: doubt stays.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] lease HASH     ticket -> token
-- KEYS[3] change STRING  the ticket's frames
-- ARGV[1] token          the holder's
-- ARGV[2] ticket
-- ARGV[3] cut (bytes)
-- ARGV[4] frame          the join, head included
-- Returns 1, or 0 when the ticket is no longer ours
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[3], ARGV[4] .. redis.call('GETRANGE', KEYS[3], ARGV[3], -1))
redis.call('ZADD', KEYS[1], string.format('%.0f', math.floor(struct.unpack('>I8', ARGV[4], 5) / 1000)), ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
