#!lua flags=allow-oom
-- Moves refused tickets to the dead letters: what was folded is kept there whole, what arrived meanwhile stays due. At
-- the cap nothing is evicted and nothing is moved. The state is left as it is: nothing was sent.
-- More than five named keys: a burial ends a ticket's claim, doubt and suspicion in the same step.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] lease HASH     ticket -> token
-- KEYS[3] doubt HASH     ticket -> 1 | 2
-- KEYS[4] suspects ZSET  ticket -> group
-- KEYS[5] dead ZSET      ticket -> ms
-- KEYS[6] dead:row HASH  ticket -> JSON
-- KEYS[7] dead:frame HASH ticket -> frames
-- KEYS[8..] change STRING, one per ticket
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] token          the holder's
-- ARGV[3] prefix (bytes) of a change key before the ticket
-- ARGV[4] dead_max (dead letters)
-- ARGV[5..] per ticket: cut (bytes), frame, row (JSON)
-- Returns per ticket 1 (buried), 0 (no longer ours) or 2 (full)
local t = redis.call('TIME')
local now = string.format('%.0f', math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000))
local answers, rests = {}, {}
for i = 8, #KEYS do
  local held = redis.call('HGET', KEYS[2], KEYS[i]:sub(ARGV[3] + 1)) == ARGV[2]
  rests[i] = held and redis.call('GETRANGE', KEYS[i], ARGV[(i - 8) * 3 + 5], -1)
end
for i = 8, #KEYS do
  local at, rest, ticket = (i - 8) * 3 + 5, rests[i], KEYS[i]:sub(ARGV[3] + 1)
  local known = redis.call('ZSCORE', KEYS[5], ticket)
  if not rest then
    answers[#answers + 1] = 0
  elseif not known and redis.call('ZCARD', KEYS[5]) >= tonumber(ARGV[4]) then
    answers[#answers + 1] = 2
  else
    redis.call('ZADD', KEYS[5], now, ticket)
    redis.call('HSET', KEYS[7], ticket, ARGV[at + 1])
    redis.call('HSET', KEYS[6], ticket, ARGV[at + 2])
    if rest == '' then
      redis.call('ZREM', KEYS[1], ticket)
      redis.call('DEL', KEYS[i])
    else
      redis.call('SET', KEYS[i], rest)
      redis.call('ZADD', KEYS[1], string.format('%.0f', math.floor(struct.unpack('>I8', rest, 5) / 1000)), ticket)
    end
    redis.call('HDEL', KEYS[2], ticket)
    redis.call('HDEL', KEYS[3], ticket)
    redis.call('ZREM', KEYS[4], ticket)
    answers[#answers + 1] = 1
  end
end
return answers
