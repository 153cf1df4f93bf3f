/* kv.h - SEAM placeholder: written by the store's author. */
#pragma once
struct kv;
