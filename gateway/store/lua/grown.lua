#!lua flags=allow-oom
-- Which values hold more than one frame, the first of which has waited for a while: those that compaction can shorten.
--
-- KEYS[1..] change STRING, one per ticket, at most 1,000
-- ARGV[1] before_us (µs) values whose first frame arrived later are left out
-- Returns their places among the keys, from 1
local found, before = {}, tonumber(ARGV[1])
for i = 1, #KEYS do
  local head = redis.call('GETRANGE', KEYS[i], 0, 11)
  if #head == 12 then
    local length, arrival = struct.unpack('>I4I8', head)
    if arrival < before and redis.call('STRLEN', KEYS[i]) > 12 + length then found[#found + 1] = i end
  end
end
return found
