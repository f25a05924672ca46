#!lua flags=allow-oom
-- Tickets whose turn in a lane has come, oldest first. Lanes are hints: those with nothing unsent are dropped here,
-- unless the lane is one for them (read-backs).
--
-- KEYS[1] lane ZSET   ticket -> ms
-- KEYS[2] due ZSET    ticket -> ms
-- ARGV[1] now_us (µs) empty: Redis' time
-- ARGV[2] limit (tickets) at most 1,000
-- ARGV[3] keep (1|0)  1: the lane is also for tickets with nothing unsent
-- Returns tickets
local t = redis.call('TIME')
local now = string.format('%.0f', math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000))
while true do
  local tickets = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])
  if #tickets == 0 or ARGV[3] == '1' then return tickets end
  local scores = redis.call('ZMSCORE', KEYS[2], unpack(tickets))
  local waiting, idle = {}, {}
  for i, ticket in ipairs(tickets) do
    local list = scores[i] and waiting or idle
    list[#list + 1] = ticket
  end
  if #idle > 0 then redis.call('ZREM', KEYS[1], unpack(idle)) end
  if #waiting > 0 then return waiting end
end
