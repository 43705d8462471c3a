import { hash } from 'node:crypto'

/**
 * The rules of the ReplayStore interface as Lua, so that looking and changing are one step. An entry is the JSON text
 * `[state, owner, digest, position]` with the state `p` (in progress) or `d` (done), and a position that is empty where
 * there is none. Its time to live is the lease, or the retention.
 */

export interface Script {
  readonly text: string
  readonly sha: string
}

const READ = `
local raw = redis.call('GET', KEYS[1])
local state, owner, digest, position
if raw then state, owner, digest, position = unpack(cjson.decode(raw)) end
`

/** ARGV: the entry in progress, owner, digest, position, lease in ms, '1' to run again what was done at this position. */
export const BEGIN: Script = script(`${READ}
if raw then
  if digest ~= ARGV[3] then return 'reused' end
  local same = position ~= '' and position == ARGV[4]
  if state == 'd' then
    if same and ARGV[6] == '1' then return 'run' end
    return 'duplicate'
  end
  if owner ~= ARGV[2] and not same then return 'in-progress' end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[5])
return 'run'
`)

/** ARGV: the entry done, owner, position, retention in ms (0: for ever). */
export const COMMIT: Script = script(`${READ}
if raw and owner ~= ARGV[2] then
  if state == 'p' or position == '' or position ~= ARGV[3] then return 'lost' end
end
if state == 'd' then
  local left = redis.call('PTTL', KEYS[1])
  if left == -1 then ARGV[4] = '0'
  elseif ARGV[4] ~= '0' and left > tonumber(ARGV[4]) then ARGV[4] = left end
end
if ARGV[4] == '0' then redis.call('SET', KEYS[1], ARGV[1])
else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4]) end
return 'committed'
`)

/** ARGV: owner. */
export const RELEASE: Script = script(`${READ}
if state == 'p' and owner == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

/** ARGV: owner, lease in ms. */
export const RENEW: Script = script(`${READ}
if state == 'p' and owner == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`)

function script(text: string): Script {
  // How Redis names a script; nothing is secured by it.
  return { text, sha: hash('sha1', text, 'hex') }
}
