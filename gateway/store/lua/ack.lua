#!lua flags=allow-oom
-- Settles sent tickets: cuts exactly what was sent, writes the state, drops the claim. What arrived meanwhile stays due
-- since its own arrival. With a second send the changes stay too, and wait until no older call can land any more.
-- Reads come first, so a damaged key ends the call before any write.
-- More than five named keys: an ack ends a ticket's doubt, suspicion and dead letter in the same step.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] lease HASH     ticket -> token
-- KEYS[3] doubt HASH     ticket -> 1 | 2
-- KEYS[4] suspects ZSET  ticket -> group
-- KEYS[5] dead ZSET      ticket -> ms
-- KEYS[6] dead:row HASH  ticket -> JSON
-- KEYS[7] dead:frame HASH ticket -> frames
-- KEYS[8..] per ticket: change STRING, state STRING
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] token          the holder's
-- ARGV[3] prefix (bytes) of a change key before the ticket
-- ARGV[4..] per ticket: head, state (empty: left alone), frame of the second send (empty: none);
--   head = struct >I4I4I4I1: cut (bytes), ttl (s, 0: for ever), lease (ms, the second send waits twice as long),
--   1 when the dead letter closes
-- Returns per ticket 1 (acked), 2 (to be sent once more) or 0 (no longer ours)
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local answers, rests = {}, {}
for i = 8, #KEYS, 2 do
  local held = redis.call('HGET', KEYS[2], KEYS[i]:sub(ARGV[3] + 1)) == ARGV[2]
  rests[i] = held and redis.call('GETRANGE', KEYS[i], struct.unpack('>I4', ARGV[(i - 8) / 2 * 3 + 4]), -1)
end
local over, freed, closed, sure = {}, {}, {}, {}
for i = 8, #KEYS, 2 do
  local at, rest, ticket = (i - 8) / 2 * 3 + 4, rests[i], KEYS[i]:sub(ARGV[3] + 1)
  local state, again = ARGV[at + 1], ARGV[at + 2]
  answers[#answers + 1] = rest and (again == '' and 1 or 2) or 0
  if rest then
    local _, ttl, lease, closes = struct.unpack('>I4I4I4I1', ARGV[at])
    local value, score = again .. rest, now + 2 * lease
    if value == '' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], value) end
    if state ~= '' and ttl > 0 then redis.call('SET', KEYS[i + 1], state, 'EX', ttl) end
    if state ~= '' and ttl == 0 then redis.call('SET', KEYS[i + 1], state) end
    if again == '' and rest ~= '' then score = math.floor(struct.unpack('>I8', rest, 5) / 1000) end
    score = string.format('%.0f', score)
    if value == '' then over[#over + 1] = ticket else redis.call('ZADD', KEYS[1], score, ticket) end
    if again == '' then sure[#sure + 1] = ticket else redis.call('HSET', KEYS[3], ticket, '2') end
    if closes == 1 then closed[#closed + 1] = ticket end
    freed[#freed + 1] = ticket
  end
end
if #over > 0 then redis.call('ZREM', KEYS[1], unpack(over)) end
if #sure > 0 then redis.call('HDEL', KEYS[3], unpack(sure)) end
if #closed > 0 then redis.call('ZREM', KEYS[5], unpack(closed)) end
if #closed > 0 then redis.call('HDEL', KEYS[6], unpack(closed)) end
if #closed > 0 then redis.call('HDEL', KEYS[7], unpack(closed)) end
if #freed > 0 then redis.call('ZREM', KEYS[4], unpack(freed)) end
if #freed > 0 then redis.call('HDEL', KEYS[2], unpack(freed)) end
return answers
