// Files on their way to the server: folders are walked, images of a DICOM study go packed together.

import { api } from "./api.js";
import { size } from "./dom.js";
import { packed } from "./zip.js";

const PARCEL = { bytes: 64 << 20, files: 5000 }; // held in memory while its checksums are made
const SCAN = /\.(nii|nii\.gz|zip)$/i;

// What was dropped, as files. Entries must be asked for before anything is waited for.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at most
    if (!some.length) return found;
    for (const one of some) found.push(...await walk(one));
  }
}

// Uploads them and has them recognised. Returns how many were passed over; tell is told in words what
// is being done, and the share of bytes that have gone.
export async function send(job, files, tell) {
  tell("Looking at the files", 0);
  const images = [];
  const scans = [];
  const others = [];
  for (const file of files) (await isDicom(file) ? images : SCAN.test(file.name) ? scans : others).push(file);
  // Alone they are what was meant, and the server says what is wrong with them.
  const single = images.length || scans.length ? scans : others;
  const all = total([...images, ...single]) || 1;
  let sent = 0;
  for (const parcel of parcelled(images)) {
    tell(`Uploading ${images.length} DICOM files (${size(total(images))})`, sent / all);
    await api.upload(job.id, await packed(parcel));
    sent += total(parcel);
  }
  for (const file of single) {
    tell(`Uploading ${file.name} (${size(file.size)})`, sent / all);
    await api.upload(job.id, file);
    sent += file.size;
  }
  tell("Recognising the sequences", 1);
  await api.recognise(job.id);
  return single === others ? 0 : others.length;
}

async function isDicom(file) {
  return (await file.slice(128, 132).text()) === "DICM";
}

function parcelled(files) {
  const parcels = [];
  let room = 0;
  for (const file of files) {
    if (file.size > room || parcels.at(-1).length === PARCEL.files) {
      parcels.push([]);
      room = PARCEL.bytes;
    }
    parcels.at(-1).push(file);
    room -= file.size;
  }
  return parcels;
}

function total(files) {
  return files.reduce((sum, file) => sum + file.size, 0);
}
