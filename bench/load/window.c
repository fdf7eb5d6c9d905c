/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/window.h"

#include "core/error.h"

void gy_load_window_open(struct gy_load_window *window, uint32_t count)
{
    gy_assert(count >= 1);
    window->oldest = window->newest = GY_LOAD_NOBODY;
    window->free = 0;
    window->count = count;
    for (uint32_t i = 0; i < count; i++) {
        window->places[i] = (struct gy_load_place){.after = i + 1 < count ? i + 1 : GY_LOAD_NOBODY};
    }
}

uint32_t gy_load_window_take(struct gy_load_window *window)
{
    uint32_t number = window->free;
    gy_assert(number < window->count);
    struct gy_load_place *place = &window->places[number];
    gy_assert(!place->waits);
    window->free = place->after;
    place->use++;
    place->waits = true;
    place->before = window->newest;
    place->after = GY_LOAD_NOBODY;
    if (window->newest != GY_LOAD_NOBODY) {
        window->places[window->newest].after = number;
    } else {
        window->oldest = number;
    }
    window->newest = number;
    return number;
}

void gy_load_window_give(struct gy_load_window *window, uint32_t number)
{
    gy_assert(number < window->count);
    struct gy_load_place *place = &window->places[number];
    gy_assert(place->waits);
    place->waits = false;
    *(place->before != GY_LOAD_NOBODY ? &window->places[place->before].after : &window->oldest) =
        place->after;
    *(place->after != GY_LOAD_NOBODY ? &window->places[place->after].before : &window->newest) =
        place->before;
    place->after = window->free;
    window->free = number;
}
