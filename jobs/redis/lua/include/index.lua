-- What stands in an index of its org is taken out when its record has ended (`trim_indexes.lua`).
local function index_entry(kind, id, org)
  return kind .. ' ' .. id .. ' ' .. org
end
