// Node's side of the HTTP rows: node server.js FOLDER.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');

const folder = process.argv[2];
const people = [
  ['Anne', 'boatswain'],
  ['Bartholomew', "gunner's mate"],
  ['Charlotte', 'quartermaster'],
  ['Davy', 'able seaman'],
];

function ship(n) {
  const crew = Array.from({ length: 18 }, (_, i) => {
    const [name, rank] = people[i % people.length];
    return { id: 1000 + (n % 1000) + i, name, rank, watch: i % 3 };
  });
  return { name: "Queen Anne's Revenge", tons: 200 + (n % 100), crew };
}

let served = 0;
const server = http.createServer((request, response) => {
  if (request.url === '/plaintext') {
    response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': 13 });
    response.end('Hello, World!');
  } else if (request.url === '/json') {
    const body = JSON.stringify(ship(served++));
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(body);
  } else {
    const file = path.join(folder, path.normalize(request.url));
    fs.stat(file, (error, found) => {
      if (error) {
        response.writeHead(404, { 'Content-Length': 0 }).end();
        return;
      }
      response.writeHead(200, {
        'Content-Type': 'application/octet-stream',
        'Content-Length': found.size,
      });
      fs.createReadStream(file).pipe(response);
    });
  }
});
server.listen(0, '127.0.0.1', () => {
  console.log(`{"listening": ${server.address().port}}`);
});
