#!lua flags=allow-oom
-- Tells whether Redis still has the memory it had. The epoch lives as long as the data, and ends when Redis holds a
-- smaller number of a writer than it confirmed to that writer: its tail is lost (here, or seen by put). Then the calls
-- of the last minute are forgotten too, so the window counts as full for a minute.
--
-- KEYS[1] meta HASH      epoch, full_until_ms, lost_ms (a put saw the loss), writer:<name> (number, ms)
-- KEYS[2] counters HASH  epochs_lost
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] known          the epoch the caller knows; empty: none
-- ARGV[3] fresh          the epoch to write where there is none
-- ARGV[4] writer         the caller's name
-- ARGV[5] told           the number that Redis confirmed to it last
-- ARGV[6] number         of this call; the caller gives none twice
-- Returns {epoch, 1 when the known one is lost}
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'lost_ms', 'writer:' .. ARGV[4])
local epoch, mine = meta[1], tonumber(string.match(meta[3] or '0', '^%d+'))
redis.call('HLEN', KEYS[2])
if not epoch or mine < tonumber(ARGV[5]) then
  epoch = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
  redis.call('HDEL', KEYS[1], 'lost_ms')
  local known = ARGV[2] ~= '' or meta[2] or mine < tonumber(ARGV[5])
  if known then redis.call('HINCRBY', KEYS[2], 'epochs_lost', 1) end
end
if ARGV[2] == '' then -- a process starts: those that have been silent for a day are gone
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local at = all[i]:sub(1, 7) == 'writer:' and tonumber(string.match(all[i + 1], '%d+$'))
    if at and at < now - 86400000 then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
local beat = string.format('%.0f %.0f', math.max(mine, tonumber(ARGV[6])), now)
redis.call('HSET', KEYS[1], 'writer:' .. ARGV[4], beat)
if ARGV[2] == '' or ARGV[2] == epoch then return {epoch, 0} end
redis.call('HSET', KEYS[1], 'full_until_ms', string.format('%.0f', now + 61000))
return {epoch, 1}
