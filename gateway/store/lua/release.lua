#!lua flags=allow-oom
-- Gives tickets back unsent: due again since their first arrival, or after a snooze. May put them in a lane or among
-- the suspects. What is in doubt stays in doubt.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] lease HASH     ticket -> token
-- KEYS[3] suspects ZSET  ticket -> group
-- KEYS[4] lane ZSET      ticket -> ms (lookups, deletes or unread)
-- KEYS[5..] change STRING, one per ticket
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] token          the holder's
-- ARGV[3] prefix (bytes) of a change key before the ticket
-- ARGV[4] not_before_ms (ms) 0: no snooze
-- ARGV[5] lane (1|0)     1: also into the lane
-- ARGV[6] group          empty: none
-- Returns how many were still ours
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local heads, count = {}, 0
for i = 5, #KEYS do
  local held = redis.call('HGET', KEYS[2], KEYS[i]:sub(ARGV[3] + 1)) == ARGV[2]
  heads[i] = held and redis.call('GETRANGE', KEYS[i], 0, 11)
end
for i = 5, #KEYS do
  local ticket, head = KEYS[i]:sub(ARGV[3] + 1), heads[i]
  if head and redis.call('HDEL', KEYS[2], ticket) == 1 then
    count = count + 1
    if head == '' then
      redis.call('ZREM', KEYS[1], ticket)
      redis.call('ZREM', KEYS[3], ticket)
    else
      local score = math.max(math.floor(struct.unpack('>I8', head, 5) / 1000), tonumber(ARGV[4]))
      redis.call('ZADD', KEYS[1], string.format('%.0f', score), ticket)
      if ARGV[5] == '1' then redis.call('ZADD', KEYS[4], string.format('%.0f', now), ticket) end
      if ARGV[6] ~= '' then redis.call('ZADD', KEYS[3], ARGV[6], ticket) end
    end
  end
end
return count
