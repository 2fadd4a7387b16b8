-- chatmail-auth.lua: passdb and userdb of Dovecot for a chatmail relay. Dovecot 2.4 (Debian 13), and 2.3 (Debian 12).
--
-- Whoever has an account is answered from its password file, so existing users log in and get mail while doveauth is down.
-- doveauth is asked only for what it alone can do: create an account, verify a password longer than crypt(3) takes, list
-- all accounts, and say that an address does not exist.
--
-- Settings, in 2.4 as lua_settings { }, in 2.3 as import_environment with the names in brackets (docs/dovecot-2.4.md):
--   mailboxes [DOVEAUTH_MAILBOXES]  the mailboxes_dir of chatmail.ini; unset: doveauth is asked about everybody
--   socket    [-]                   doveauth's HTTP socket
--   url       [DOVEAUTH_URL]        instead of the socket, for 2.3, which speaks HTTP over TCP only
--
-- Whatever goes wrong is an internal failure, never a wrong password and never an unknown user: LMTP would bounce mail.
-- Nothing is logged that names a user or shows a password.

local A = dovecot.auth

local ENOENT, ENOTDIR = 2, 20
-- Longest password crypt(3) takes, bytes.
local MAX_CRYPT_PASSWORD = 511
-- Longest content of a password file, bytes; a hash has 122.
local MAX_HASH = 512

local settings = {
  mailboxes = os.getenv("DOVEAUTH_MAILBOXES"),
  socket = "/run/doveauth/http.socket",
  url = os.getenv("DOVEAUTH_URL"),
}
local client

-- Dovecot 2.4 hands over lua_settings { }; 2.3 hands over nothing.
function script_init(args)
  for name in pairs({ mailboxes = true, socket = true, url = true }) do
    if type(args) == "table" and args[name] then settings[name] = args[name] end
  end
  return 0
end

local function new_client()
  if settings.url then
    -- The names of 2.3, ms. One that 2.4 no longer knows is ignored there, and its defaults will do.
    return dovecot.http.client({ timeout = 10000, connect_timeout = 2000, max_attempts = 2 })
  end
  return dovecot.http.client({
    proxy_socket_path = settings.socket,
    request_timeout = "10s",
    connect_timeout = "2s",
    request_max_attempts = 2,
  })
end

local function escape(text)
  return (text:gsub("[^A-Za-z0-9_.~-]", function(char) return string.format("%%%02X", char:byte()) end))
end

-- Asks doveauth. Returns the HTTP status and the body; a status over 9000 is a connection that failed.
local function ask(path, fields)
  client = client or new_client()
  local form = {}
  for name, value in pairs(fields) do form[#form + 1] = name .. "=" .. escape(value) end
  local request = client:request({ url = (settings.url or "http://doveauth") .. path, method = "POST" })
  request:add_header("Content-Type", "application/x-www-form-urlencoded")
  request:set_payload(table.concat(form, "&"))
  local response = request:submit()
  return response:status(), response:payload() or ""
end

-- The "name=value" lines of a body.
local function parse(body)
  local fields = {}
  for name, value in body:gmatch("([%w_]+)=([^\r\n]*)") do fields[name] = value end
  return fields
end

-- The mailbox directory of a user, or nil when the name cannot be that of one.
local function mailbox_of(user)
  if not settings.mailboxes or user:find("[/\0]") or not user:find("^[^@]+@[^@]+$") then return nil end
  return settings.mailboxes .. "/" .. user
end

-- The stored hash, empty when the account is blocked; nil when there is no password file; false when it is unreadable.
local function stored_hash(mailbox)
  local file, _, code = io.open(mailbox .. "/password", "rb")
  if not file then
    if code == ENOENT or code == ENOTDIR then return nil end
    return false
  end
  local text, trouble = file:read(MAX_HASH)
  file:close()
  if trouble then return false end
  return ((text or ""):gsub("%s+$", ""))
end

-- Any scheme Dovecot knows lets in. But it says 0 for a damaged hash or an unknown scheme as it does for a wrong password, so
-- only a whole hash of the scheme relays write can make a password wrong.
local function verify(request, hash, password)
  local ok, result = pcall(request.password_verify, request, hash, password)
  if ok and result == 1 then return A.PASSDB_RESULT_OK, {} end
  local digest = hash:match("^{SHA512%-CRYPT}%$6%$.*%$([./%w]+)$")
  if ok and result == 0 and digest and #digest == 86 then return A.PASSDB_RESULT_PASSWORD_MISMATCH, "wrong password" end
  return A.PASSDB_RESULT_INTERNAL_FAILURE, "the stored hash cannot be verified"
end

local function refused(reason)
  return A.PASSDB_RESULT_PASSWORD_MISMATCH, reason
end

-- doveauth creates the account, or tells the hash of one that exists by now.
local function login_by_doveauth(request, user, password)
  local status, body = ask("/passdb", { user = user, password = password })
  if status == 403 then return refused("refused by doveauth") end
  if status ~= 200 then return A.PASSDB_RESULT_INTERNAL_FAILURE, "doveauth: HTTP status " .. status end
  local fields = parse(body)
  -- doveauth has verified the password itself.
  if fields.nopassword then return A.PASSDB_RESULT_OK, {} end
  return verify(request, fields.password or "", password)
end

function auth_password_verify(request, password)
  if password == "" then return refused("empty password") end
  local user = request.user:lower()
  local mailbox = mailbox_of(user)
  local hash = nil
  if mailbox then hash = stored_hash(mailbox) end
  if hash == false then return A.PASSDB_RESULT_INTERNAL_FAILURE, "the password file is unreadable" end
  if hash == "" then return refused("blocked") end
  if hash and #password <= MAX_CRYPT_PASSWORD then return verify(request, hash, password) end
  return login_by_doveauth(request, user, password)
end

function auth_userdb_lookup(request)
  local user = request.user:lower()
  local mailbox = mailbox_of(user)
  if mailbox then
    local hash = stored_hash(mailbox)
    if hash == false then return A.USERDB_RESULT_INTERNAL_FAILURE, "the password file is unreadable" end
    -- uid and gid come from the fields (2.3: default_fields) of the userdb section.
    if hash and hash ~= "" then return A.USERDB_RESULT_OK, { home = mailbox } end
  end
  -- Not there, for us: the disk may just not be mounted. That nobody has this name is for doveauth to say.
  local status, body = ask("/userdb", { user = user })
  if status == 200 then return A.USERDB_RESULT_OK, parse(body) end
  if status == 404 then return A.USERDB_RESULT_USER_UNKNOWN, "unknown user" end
  return A.USERDB_RESULT_INTERNAL_FAILURE, "doveauth: HTTP status " .. status
end

function auth_userdb_iterate()
  local status, body = ask("/users", {})
  if status ~= 200 then error("doveauth: HTTP status " .. status) end
  local users = {}
  for user in body:gmatch("[^\n]+") do users[#users + 1] = user end
  return users
end
