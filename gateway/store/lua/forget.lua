#!lua flags=allow-oom
-- Puts what is left of tickets in the place of what Redis holds of them, each only while it still is what was read. Who
-- holds such a ticket loses it: the claim becomes ours and runs out by itself, so that an answer that is under way
-- writes nothing back, and no newer call overtakes an older one. A claim that runs out on nothing is swept.
-- More than five named keys: nothing of a ticket may stay anywhere.
--
-- KEYS[1] due ZSET        ticket -> ms
-- KEYS[2] lease HASH      ticket -> token
-- KEYS[3] doubt HASH      ticket -> 1 | 2
-- KEYS[4] dead ZSET       ticket -> ms
-- KEYS[5] dead:row HASH   ticket -> JSON
-- KEYS[6] dead:frame HASH ticket -> frames
-- KEYS[7] suspects ZSET   ticket -> group
-- KEYS[8] lookups ZSET    ticket -> ms
-- KEYS[9] deletes ZSET    ticket -> ms
-- KEYS[10] unread ZSET    ticket -> ms
-- KEYS[11..] per ticket: change STRING, state STRING
-- ARGV[1] token           ours
-- ARGV[2] prefix (bytes)  of a change key before the ticket
-- ARGV[3..] per ticket: SHA-1 (hex) of all four as they were read, then what is left of change, state, frame and row
--   (empty: nothing)
-- Returns per ticket 1 (done), 2 (done, and somebody held it) or 0 (it is no longer what was read)
local answers, read = {}, {}
for i = 11, #KEYS, 2 do
  local ticket = KEYS[i]:sub(ARGV[2] + 1)
  local frame, row = redis.call('HGET', KEYS[6], ticket) or '', redis.call('HGET', KEYS[5], ticket) or ''
  local value, state = redis.call('GET', KEYS[i]) or '', redis.call('GET', KEYS[i + 1]) or ''
  local sizes = table.concat({#value, #state, #frame, #row}, ' ')
  read[i] = redis.sha1hex(table.concat({sizes, value, state, frame, row}, ' '))
end
for i = 11, #KEYS, 2 do
  local at, ticket = (i - 11) / 2 * 5 + 3, KEYS[i]:sub(ARGV[2] + 1)
  local same, held = read[i] == ARGV[at], redis.call('HGET', KEYS[2], ticket)
  answers[#answers + 1] = same and (held and 2 or 1) or 0
  if same then
    local value, state, frame, row = unpack(ARGV, at + 1, at + 4)
    local drop = value == '' and not held and not redis.call('HGET', KEYS[3], ticket)
    if held then redis.call('HSET', KEYS[2], ticket, ARGV[1]) end
    if drop then redis.call('ZREM', KEYS[1], ticket) end
    if value == '' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], value) end
    if state == '' then redis.call('DEL', KEYS[i + 1]) else redis.call('SET', KEYS[i + 1], state, 'KEEPTTL') end
    if frame == '' then redis.call('ZREM', KEYS[4], ticket) else redis.call('HSET', KEYS[6], ticket, frame) end
    if row == '' then redis.call('HDEL', KEYS[5], ticket) else redis.call('HSET', KEYS[5], ticket, row) end
    if frame == '' then redis.call('HDEL', KEYS[6], ticket) end
    for lane = 7, value == '' and 10 or 6 do redis.call('ZREM', KEYS[lane], ticket) end
  end
end
return answers
