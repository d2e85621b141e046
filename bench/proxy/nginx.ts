/** nginx as the yardstick: one process, keep-alive to the engine, no buffering. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, waitForPort } from './processes.ts';

/** Whether nginx can be used; installs Debian's package when it is missing and we are root. */
export function nginxIsThere(): boolean {
  if (spawnSync('nginx', ['-v'], { stdio: 'ignore' }).status === 0) return true;
  if (process.getuid?.() !== 0) return false;
  console.error('nginx is missing: trying `apt-get install -y nginx-light`');
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('apt-get', ['install', '-y', 'nginx-light'], { stdio: 'ignore', env: environment });
  return spawnSync('nginx', ['-v'], { stdio: 'ignore' }).status === 0;
}

export async function startNginx(
  directory: string,
  enginePort: number,
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  await writeFile(
    file,
    `daemon off;
master_process off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log ${directory}/nginx-error.log;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  keepalive_requests 1000000000;
  upstream engine { server 127.0.0.1:${enginePort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      client_max_body_size 64m;
    }
  }
}
`,
  );
  const child = spawn('nginx', ['-c', file, '-p', directory], { stdio: 'inherit' });
  await waitForPort(port);
  return { child, port };
}
