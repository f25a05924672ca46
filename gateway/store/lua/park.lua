#!lua flags=allow-oom
-- Moves tickets on in their lane (a look-up that must wait). Those that nobody holds are not due before then either;
-- those with nothing unsent leave the lane, unless it is one for them (read-backs), which holds nothing up in due.
--
-- KEYS[1] lane ZSET   ticket -> ms
-- KEYS[2] due ZSET    ticket -> ms
-- KEYS[3] lease HASH  ticket -> token
-- ARGV[1] at_ms (ms)  when to look again
-- ARGV[2] keep (1|0)  1: the lane is also for tickets with nothing unsent
-- ARGV[3..] tickets, at most 1,000
-- Returns how many stay in the lane
local tokens = redis.call('HMGET', KEYS[3], unpack(ARGV, 3))
local scores = redis.call('ZMSCORE', KEYS[2], unpack(ARGV, 3))
local count = 0
for i = 1, #scores do
  local ticket = ARGV[i + 2]
  if scores[i] or ARGV[2] == '1' then
    redis.call('ZADD', KEYS[1], ARGV[1], ticket)
    if scores[i] and not tokens[i] and ARGV[2] ~= '1' then redis.call('ZADD', KEYS[2], 'GT', ARGV[1], ticket) end
    count = count + 1
  else
    redis.call('ZREM', KEYS[1], ticket)
  end
end
return count
