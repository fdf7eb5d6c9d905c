/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_keeper.h"
int gy_dns_keeper_make(struct gy_dns_keeper **keeper, struct gy_dns_server *server,
                       const struct gy_dns_list *list)
{
    (void)keeper;
    (void)server;
    (void)list;
    return 0;
}
void gy_dns_keeper_free(struct gy_dns_keeper *keeper)
{
    (void)keeper;
}
int gy_dns_keeper_join(struct gy_dns_keeper *keeper, struct gy_worker *worker,
                       struct gy_error *error)
{
    (void)keeper;
    (void)worker;
    (void)error;
    return 0;
}
void gy_dns_keeper_leave(struct gy_dns_keeper *keeper, struct gy_worker *worker)
{
    (void)keeper;
    (void)worker;
}
void gy_dns_keeper_notify(struct gy_dns_keeper *keeper, uint32_t number,
                          const struct gy_dns_served *served)
{
    (void)keeper;
    (void)number;
    (void)served;
}
