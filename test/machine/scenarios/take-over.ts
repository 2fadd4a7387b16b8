/**
 * Machines that are not fresh: an apply that fails half way, a configuration somebody wrote, and a relay as cmdeploy leaves it, which
 * is taken over in place and given back. Each ends with the relay as it was.
 */

import assert from 'node:assert/strict';
import type { RelayMachine } from '../relay-machine.ts';

/** Configuration and units, to be compared. */
const STATE = `cd /etc; find postfix dovecot nginx systemd/system sysctl.d -type f -o -type l | sort | while read -r f; do
  [ -L "$f" ] && echo "$f -> $(readlink "$f")" || sha256sum "$f"; done; systemctl list-unit-files --state=enabled --no-legend | sort`;

/** A file nginx does not accept is noticed before any server is told of anything. */
export async function failedApply(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  const before = await container.run(STATE);
  const programs = 'systemctl show -p MainPID postfix dovecot nginx doveauth filtermail';
  const running = await container.run(programs);
  const ini = '/etc/chatmail/chatmail.ini';
  await container.run(
    `cp ${ini} /root/kept.ini; echo 'disable_ipv6 = true' >>${ini}; echo nonsense >/etc/nginx/conf.d/site.conf`,
  );
  const { status, stderr } = await container.attempt('chatmailctl apply', 120_000);
  assert.equal(status, 78, stderr);
  assert.match(stderr, /nginx -t.*does not accept.*site\.conf[\s\S]*everything was put back/);
  await container.run(`mv /root/kept.ini ${ini}; rm /etc/nginx/conf.d/site.conf`);
  assert.equal(await container.run(STATE), before);
  assert.equal(await container.run(programs), running, 'nobody was restarted');
  assert.match(await container.run('chatmailctl apply', 120_000), /Nothing to change/);
  await machine.say('after an apply that failed');
}

/** What somebody wrote is neither replaced nor ignored without being asked for. */
export async function takeOver(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  await container.run(UNDO_ALL, 240_000);
  await container.run(`cd /etc; cp postfix/main.cf /root/main.cf; cp dovecot/conf.d/10-auth.conf /root/10-auth.conf
    echo 'virtual_alias_maps = hash:/etc/virtual' >>postfix/main.cf; echo '# mine' >>dovecot/conf.d/10-auth.conf`);
  const before = await container.run(STATE);
  const { status, stderr } = await container.attempt('chatmailctl apply', 120_000);
  assert.equal(status, 78);
  assert.match(
    stderr,
    /replace \/etc\/postfix\/main\.cf .*no longer use \/etc\/dovecot\/conf\.d\/10-auth\.conf.*--take-over/,
  );
  assert.equal(await container.run(STATE), before);
  await container.run('chatmailctl apply --take-over', 120_000);
  await machine.becomesGreen();
  await container.run('chatmailctl apply --undo', 120_000);
  assert.equal(await container.run(STATE), before);
  await container.run(
    'cd /etc; cp /root/main.cf postfix/; cp /root/10-auth.conf dovecot/conf.d/; chatmailctl apply',
    120_000,
  );
  await machine.sayAfresh('after a configuration of somebody');
}

const UNDO_ALL = 'chatmailctl apply --undo --all';

/** Units of the old stack by name; they only have to run. */
const OLD_UNITS = 'doveauth filtermail filtermail-incoming chatmail-metadata lastlogin opendkim';

const OLD_RELAY = `set -e
mkdir -p /usr/local/lib/chatmaild /var/www/html
mv /etc/chatmail/chatmail.ini /usr/local/lib/chatmaild/
echo 'www_folder = /home/operator/www' >>/usr/local/lib/chatmaild/chatmail.ini
echo 'mtail_address =' >>/usr/local/lib/chatmaild/chatmail.ini
echo old pages >/var/www/html/index.html
mkdir -p /etc/ssl/private
mv /etc/chatmail/tls/self-signed.pem /etc/ssl/certs/mailserver.pem
mv /etc/chatmail/tls/self-signed.key /etc/ssl/private/mailserver.key
for unit in ${OLD_UNITS}; do
  printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/$unit.service
done
systemctl daemon-reload
systemctl enable --now ${OLD_UNITS} 2>/dev/null
cd /etc
cp nginx/nginx.conf postfix/main.cf dovecot/dovecot.conf /root/
printf 'events {}\\nhttp { server { listen 80; return 200 old; } }\\n' >nginx/nginx.conf
printf 'compatibility_level = 3.6\\nvirtual_transport = lmtp:unix:private/dovecot-lmtp\\n' >postfix/main.cf
printf '# of cmdeploy\\n' >>dovecot/dovecot.conf
systemctl restart nginx postfix dovecot`;

const NO_OLD_RELAY = `set -e
systemctl disable --now ${OLD_UNITS} 2>/dev/null
cd /etc/systemd/system; for unit in ${OLD_UNITS}; do rm $unit.service; done
systemctl daemon-reload
cd /etc; cp /root/nginx.conf nginx/; cp /root/main.cf postfix/; cp /root/dovecot.conf dovecot/
rm -r /usr/local/lib/chatmaild /var/lib/chatmail/adopted.json
sed -i '/^www_folder/d; /^mtail_address/d' /etc/chatmail/chatmail.ini
systemctl restart nginx postfix dovecot
chatmailctl apply`;

/** People notice nothing of it: the same accounts, the same certificate, the messages that waited. */
export async function adopt(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  await container.run(UNDO_ALL, 240_000);
  await container.run(OLD_RELAY);
  const before = await container.run(STATE);
  assert.match(await container.run('chatmailctl adopt'), /keep {2}\d+ accounts[\s\S]*apply stops opendkim\.service/);
  assert.equal(await container.run(STATE), before, 'adopt alone changes nothing that runs');
  await container.run('chatmailctl apply', 120_000);
  await machine.becomesGreen();
  await machine.sayAfresh('after the old relay');
  assert.equal((await container.attempt('systemctl is-active opendkim lastlogin')).stdout, 'inactive\ninactive');
  assert.match(await container.run('cat /etc/chatmail/chatmail.ini'), /www_folder = \/var\/www\/html/);
  assert.match(await container.run('chatmailctl apply', 120_000), /Nothing to change/);
  await container.run('chatmailctl apply --undo', 120_000);
  assert.equal(await container.run(STATE), before, 'and back');
  await container.run(NO_OLD_RELAY, 120_000);
  await machine.becomesGreen();
  await machine.sayAfresh('as it was');
}
